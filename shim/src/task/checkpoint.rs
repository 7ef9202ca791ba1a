//! Writing a container's processes to files, and what is to be known to make it of them again.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::Any;
use tare_proto::containerd::linux::runc as legacy;
use tare_proto::containerd::runc::v1::CheckpointOptions;

use super::container::Task;
use super::legacy::checkpoint_options;
use super::state::Action;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};
use crate::publish::Event;

/// Where in the bundle criu's own files are, where the caller names no place.
const WORK: &str = "criu-work";
/// Where the files of an earlier checkpoint are found from those of the next one.
const PARENT: &str = "parent";

/// What Checkpoint asks for.
pub(crate) struct CheckpointRequest {
    /// Where the files go.
    images: PathBuf,
    options: CheckpointOptions,
}

impl CheckpointRequest {
    /// Reads a request's path and options.
    pub(crate) fn read(path: &str, options: Option<&Any>) -> Result<Self> {
        let what = |any: &Any| {
            let name = any.type_url.clone();
            move || format!("understand the options {name}")
        };
        let options = match options.filter(|any| !any.type_url.is_empty()) {
            None => CheckpointOptions::default(),
            Some(any) => match any.type_url.rsplit('/').next().unwrap_or_default() {
                "containerd.runc.v1.CheckpointOptions" => {
                    CheckpointOptions::decode(any.value.as_slice()).context(what(any))?
                }
                "containerd.linux.runc.CheckpointOptions" => {
                    let options = legacy::CheckpointOptions::decode(any.value.as_slice());
                    checkpoint_options(options.context(what(any))?)
                }
                other => {
                    return Err(Error::invalid(format!(
                        "checkpoint options of type {other:?}: give \
                         containerd.runc.v1.CheckpointOptions"
                    )));
                }
            },
        };
        let images = one_of(path, &options.image_path, "path and image_path")?;
        let images = images.ok_or_else(|| Error::invalid("Checkpoint needs a path"))?;
        absolute(&options.work_path, "work_path")?;
        Ok(CheckpointRequest { images, options })
    }
}

/// The files that a container is to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Where they are.
    pub(crate) images: PathBuf,
}

impl Checkpoint {
    /// What Create names: its checkpoint and that one's parent, and the one of its options. `None`
    /// if the container is to be made afresh.
    pub(crate) fn read(checkpoint: &str, parent: &str, image_path: &str) -> Result<Option<Self>> {
        let Some(images) = one_of(checkpoint, image_path, "checkpoint and criu_image_path")? else {
            return match parent {
                "" => Ok(None),
                _ => Err(Error::invalid("parent_checkpoint: there is no checkpoint")),
            };
        };
        if let Some(parent) = absolute(parent, "parent_checkpoint")? {
            require_parent(&images, &parent)?;
        }
        Ok(Some(Checkpoint { images }))
    }
}

/// The files of a checkpoint have a link to those of the one before, and there is no other way to
/// tell criu of them: so the link has to lead to where the caller believes that they are.
fn require_parent(images: &Path, parent: &Path) -> Result<()> {
    let link = images.join(PARENT);
    let place = |path: &Path| {
        fs::canonicalize(path).context(|| format!("parent_checkpoint: {}", path.display()))
    };
    if place(&link)? == place(parent)? {
        return Ok(());
    }
    let (link, parent) = (link.display(), parent.display());
    Err(Error::precondition(format!("parent_checkpoint: {link} doesn't lead to {parent}")))
}

/// Where criu's own files go, its log above all.
pub(super) struct Work {
    path: PathBuf,
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Callers,
    Ours,
}

impl Work {
    /// Makes the directory: the one that a caller wants, or else one in the bundle.
    pub(super) fn make(wanted: Option<&Path>, bundle: &Path) -> Result<Self> {
        let work = match wanted {
            Some(path) => Work { path: path.to_owned(), whose: Whose::Callers },
            None => Work { path: bundle.join(WORK), whose: Whose::Ours },
        };
        fs::create_dir_all(&work.path).context(|| format!("make {}", work.path.display()))?;
        Ok(work)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All went well: nobody will want to read the files, unless it was said where to put them.
    pub(super) fn clear(self) {
        if self.whose == Whose::Ours
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            warn(format_args!("remove {}: {error}", self.path.display()));
        }
    }
}

impl Task {
    /// Writes its processes to files. They go on, unless the options say that they end with that.
    pub(crate) async fn checkpoint(&self, request: &CheckpointRequest) -> Result<()> {
        let CheckpointRequest { images, options } = request;
        let run = self.run();
        let _turn = run.init.begin(Action::Checkpoint).await?;
        let wanted = absolute(&options.work_path, "work_path")?;
        let work = Work::make(wanted.as_deref().or(self.blueprint.criu_work()), &self.bundle)?;
        let launch = self.blueprint.launch();
        self.blueprint.runtime.checkpoint(&launch, images, work.path(), options).await?;
        work.clear();
        let checkpoint = images.display().to_string();
        self.publish(Event::Checkpointed { container_id: self.id.clone(), checkpoint });
        Ok(())
    }
}

/// The directory that a request names in one or both of two places.
fn one_of(first: &str, second: &str, names: &str) -> Result<Option<PathBuf>> {
    if !first.is_empty() && !second.is_empty() && first != second {
        return Err(Error::invalid(format!("{names} are two places: {first} and {second}")));
    }
    absolute(if first.is_empty() { second } else { first }, names)
}

/// A path of a request; `None` where it is empty.
pub(super) fn absolute(path: &str, name: &str) -> Result<Option<PathBuf>> {
    match path {
        "" => Ok(None),
        path if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        other => Err(Error::invalid(format!("{name}: {other:?} must be an absolute path"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_images_are_in_one_place() {
        let read = |checkpoint, image_path| Checkpoint::read(checkpoint, "", image_path);
        let images = |read: Result<Option<Checkpoint>>| read.unwrap().map(|read| read.images);
        assert_eq!(images(read("", "")), None);
        assert_eq!(images(read("/a", "")), Some("/a".into()));
        assert_eq!(images(read("", "/b")), Some("/b".into()));
        assert_eq!(images(read("/a", "/a")), Some("/a".into()));
        assert_eq!(read("/a", "/b").unwrap_err().kind(), Kind::InvalidArgument);
        assert_eq!(read("a", "").unwrap_err().kind(), Kind::InvalidArgument);
        assert!(CheckpointRequest::read("", None).is_err());
        assert_eq!(CheckpointRequest::read("/a", None).unwrap().images, Path::new("/a"));
    }

    #[test]
    fn the_parent_is_where_the_images_say() {
        let directory = tempfile::tempdir().unwrap();
        let [images, before, other] = ["images", "before", "other"].map(|name| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            path.display().to_string()
        });
        let kind = |parent: &str| {
            Checkpoint::read(&images, parent, "").map(drop).map_err(|error| error.kind())
        };
        assert_eq!(kind(&before), Err(Kind::Unknown));
        std::os::unix::fs::symlink("../before", Path::new(&images).join(PARENT)).unwrap();
        assert_eq!(kind(&before), Ok(()));
        assert_eq!(kind(&other), Err(Kind::FailedPrecondition));
        assert!(Checkpoint::read("", &before, "").is_err());
    }

    #[test]
    fn only_runcs_options_are_known() {
        let any = |name: &str| Any { type_url: name.into(), value: Vec::new() };
        assert!(CheckpointRequest::read("/a", Some(&any("containerd.runc.v1.Options"))).is_err());
        let known = any("types.example/containerd.runc.v1.CheckpointOptions");
        assert!(CheckpointRequest::read("/a", Some(&known)).is_ok());
    }
}

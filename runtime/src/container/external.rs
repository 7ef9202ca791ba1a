//! What of a container is not its own: mounts of the host's files, namespaces that were there
//! before, and standard streams that lead outside. A checkpoint has these by name only; who
//! restores it says what the names stand for now.

use crate::cgroup::{Cgroup, Layout};
use crate::criu::images::Directory;
use crate::error::{Context, Error, Result};
use crate::init::namespaces::Namespaces;
use crate::rootfs::devices;
use crate::rootfs::plan::{MountPlan, What};
use crate::rootfs::stage::Prop;
use nix::sched::CloneFlags;
use oci_spec::runtime::Linux;
use std::path::{Component, Path, PathBuf};

/// A mount whose source is not the container's own.
#[derive(Debug)]
pub(super) struct OuterMount {
    /// The name that a checkpoint has for its source.
    pub(super) name: String,
    /// Where it is in the container, if links on the way have not been followed.
    pub(super) place: PathBuf,
    /// Its source.
    pub(super) source: Prop,
}

/// The name for what covers masked files; it is the one that other runtimes use.
const MASK: &str = "/dev/null";

/// The mounts of a container whose sources are not its own. Masked paths are among them whether
/// there is a file at the path or not.
pub(super) fn outer_mounts(
    linux: &Linux,
    mounts: &[MountPlan],
    namespaces: &Namespaces,
    cgroup: &Cgroup,
) -> Result<Vec<OuterMount>> {
    let mut outer = Vec::new();
    for mount in mounts {
        let place = plain(&mount.destination);
        match &mount.what {
            What::New(_) => {}
            What::Bind(_) => {
                outer.push(OuterMount::new(place, Prop::Mount(Box::new(mount.clone()))));
            }
            What::Cgroups => {
                let view = cgroup.view();
                let shown = match view.layout {
                    // The one hierarchy is a file system of the container.
                    Layout::Unified => Vec::new(),
                    Layout::Legacy => view.hierarchies,
                };
                outer.extend(shown.iter().map(|hierarchy| {
                    let source = Prop::Path(hierarchy.directory.to_owned());
                    OuterMount::new(place.join(hierarchy.name), source)
                }));
            }
        }
    }
    if namespaces.all().contains(CloneFlags::CLONE_NEWUSER) {
        for device in devices::plan(linux.devices().as_deref().unwrap_or_default())? {
            let path = device.path();
            outer.push(OuterMount::new(plain(path), Prop::Path(path.to_owned())));
        }
    }
    outer.extend(linux.masked_paths().iter().flatten().map(|path| OuterMount {
        name: MASK.to_owned(),
        place: PathBuf::from(path),
        source: Prop::Null,
    }));
    Ok(outer)
}

impl OuterMount {
    /// A mount that is named after its place.
    fn new(place: PathBuf, source: Prop) -> OuterMount {
        OuterMount { name: place.display().to_string(), place, source }
    }
}

/// The path from the root, without steps in place and back.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::from("/"), |mut plain, part| {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        plain
    })
}

/// The namespaces that criu takes as they are, and the names that a checkpoint has for them. Others
/// that exist already are joined when the container is restored.
pub(super) const OUTER_NAMESPACES: [(CloneFlags, &str, &str); 2] = [
    (CloneFlags::CLONE_NEWNET, "net", "extRootNetNS"),
    (CloneFlags::CLONE_NEWPID, "pid", "extRootPidNS"),
];

/// The file of a checkpoint that says what the standard streams were.
const DESCRIPTORS: &str = "descriptors.json";
/// The longest such file that makes sense, in bytes.
const LONGEST: u64 = 4096;

/// What the standard streams of the process `pid` are.
pub(super) fn streams_of(pid: u32) -> Result<Vec<String>> {
    (0..3)
        .map(|number| {
            let path = format!("/proc/{pid}/fd/{number}");
            match std::fs::read_link(&path) {
                Ok(target) => Ok(target.display().to_string()),
                // A program may have closed it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                Err(error) => Err(Error::system(format!("readlink {path}"), error)),
            }
        })
        .collect()
}

/// Keeps in `images` what the standard streams were.
pub(super) fn save_streams(images: &Directory, streams: &[String]) -> Result<()> {
    images.write(DESCRIPTORS, super::record::to_json(&streams)?.as_bytes())
}

/// The pipes among the standard streams of the container in `images`: the stream's number and the
/// pipe's name.
///
/// The numbers count: criu gives the container whatever it has under a number that it is told. So
/// nothing but the three streams is taken from a file that a stranger may have written.
pub(super) fn load_pipes(images: &Directory) -> Result<Vec<(i32, String)>> {
    let bytes = images.read(DESCRIPTORS, LONGEST)?;
    parse_pipes(&bytes)
        .context(|| format!("{} is no checkpoint: {DESCRIPTORS}", images.path().display()))
}

fn parse_pipes(bytes: &[u8]) -> Result<Vec<(i32, String)>> {
    let streams: Vec<String> =
        serde_json::from_slice(bytes).map_err(|error| Error::invalid(error.to_string()))?;
    if streams.len() > 3 {
        return Err(Error::invalid("it has more than the three standard streams"));
    }
    let is_pipe = |name: &str| {
        let inner = name.strip_prefix("pipe:[").and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| {
            !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    Ok((0..).zip(streams).filter(|(_, name)| is_pipe(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pipes_among_the_three_streams_are_taken() {
        let pipes = |text: &str| parse_pipes(text.as_bytes());
        let usual = r#"["/dev/null","pipe:[12]","pipe:[34]"]"#;
        let expected = vec![(1, "pipe:[12]".to_owned()), (2, "pipe:[34]".to_owned())];
        assert_eq!(pipes(usual).unwrap(), expected);
        for nothing in [r#"[]"#, r#"["","/pipe:[1]","pipe:[]"]"#, r#"["pipe:[1x]","pipe:[-1]"]"#] {
            assert_eq!(pipes(nothing).unwrap(), [], "{nothing}");
        }
        for bad in [r#"["","","","pipe:[1]"]"#, r#"{"0":"pipe:[1]"}"#, "[1]", "", "[[[[[["] {
            assert!(pipes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_named_plainly() {
        assert_eq!(plain(Path::new("/a//b/./../c/")), Path::new("/a/c"));
        assert_eq!(plain(Path::new("../x")), Path::new("/x"));
    }
}

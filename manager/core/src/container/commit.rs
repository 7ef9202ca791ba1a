//! `commit`: an image of a container.

use std::sync::Arc;

use super::changes::MadeByStart;
use super::config::ContainerConfig;
use super::entry::Entry;
use super::export::check_not_going;
use super::id::ContainerId;
use super::pause::Why;
use super::state::State;
use super::work::{blocking, to_the_end};
use super::{Containers, announce, merge};
use crate::error::Result;
use crate::image::{Commit, Defaults, ImageId, Images, Layering, Reference};
use crate::snapshot::lowers::Seen;
use crate::snapshot::pack::{Packer, Tree};
use crate::snapshot::{Upper, Written};

/// How an image is made of a container.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The name that it gets.
    pub reference: Option<Reference>,
    /// Who makes it.
    pub author: String,
    /// What is said about it.
    pub message: String,
    /// Dockerfile instructions that change what its containers do.
    pub changes: Vec<String>,
    /// Settings that count more than the container's.
    pub config: Option<ContainerConfig>,
    /// Freeze the container meanwhile, if it runs.
    pub pause: bool,
}

impl Containers {
    /// Makes an image of a container. It is durable when this returns.
    ///
    /// # Errors
    /// Conflict if the container is being removed, or its image is gone; invalid for instructions
    /// that aren't right, and for files that no image can have.
    pub async fn commit_image(
        self: &Arc<Self>,
        id: &ContainerId,
        options: CommitOptions,
    ) -> Result<ImageId> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let container = entry.container();
            check_not_going(&container, "commit")?;
            let commit = containers.commit_of(&entry, &options)?;
            let paused = options.pause && containers.pause_for_commit(&entry).await;
            let made = containers.commit_layer(&entry, commit).await;
            if paused && let Err(error) = containers.unpause(&container.id).await {
                // It may have ended, or somebody else let it go on.
                tracing::info!(container = %container.id, %error, "let a committed container go on");
            }
            let image = made?;
            let named = options.reference.map(|name| name.or_latest().familiar());
            let event = announce::event(&container, "commit")
                .with("comment", options.message)
                .with("imageID", image.to_string())
                .with("imageRef", named.unwrap_or_default());
            containers.events.publish(event);
            Ok(image)
        })
        .await
    }

    /// Makes the image, of what the container wrote.
    async fn commit_layer(&self, entry: &Arc<Entry>, commit: Commit) -> Result<ImageId> {
        let made = async {
            if commit.parent.is_some() {
                self.commit_changes(entry, commit).await
            } else {
                self.commit_root(entry, commit).await
            }
        };
        // A removal may take away what is read: that is what went wrong then.
        made.await.or_else(|error| check_not_going(&entry.container(), "commit").and(Err(error)))
    }

    /// Makes one more layer upon those of the container's image.
    async fn commit_changes(&self, entry: &Arc<Entry>, commit: Commit) -> Result<ImageId> {
        let (snapshots, committed) = (self.images.snapshots().clone(), Arc::clone(entry));
        let id = committed.container().id.clone();
        let upper = blocking(move || snapshots.upper(id.as_str())).await?;
        let commit = Commit { below: upper.below, ..commit };
        self.images.commit(commit, move |to| pack_whole(&committed, upper, to)).await
    }

    /// Makes one layer of all that the container has: its image was removed.
    async fn commit_root(&self, entry: &Arc<Entry>, commit: Commit) -> Result<ImageId> {
        let (looking, committed) = (self.looking(entry)?, Arc::clone(entry));
        let pack = move |to: &mut Layering| {
            let mut packer = Packer::new(to, Tree::Merged);
            let rootfs = looking.rootfs()?;
            packer.pack(rootfs.handle()?, None, rootfs.ids().clone())?;
            let members = packer.members();
            packer.finish()?;
            check_not_going(&committed.container(), "commit")?;
            Ok(members)
        };
        self.images.commit(commit, pack).await
    }

    /// What is to be made, but for the layer.
    fn commit_of(&self, entry: &Entry, options: &CommitOptions) -> Result<Commit> {
        let container = entry.container();
        let parent = self.images.resolve(&container.image_id).ok().map(|image| image.id);
        let config = options.config.as_ref().unwrap_or(&container.config);
        let changed = Images::changed(defaults(config), &options.changes)?;
        Ok(Commit {
            parent,
            below: None,
            reference: options.reference.clone(),
            author: options.author.clone(),
            message: options.message.clone(),
            created_by: container.config.cmd.clone().unwrap_or_default().join(" "),
            defaults: filled_up(changed, &container.config)?,
        })
    }

    /// Freezes a running container; whether it did.
    async fn pause_for_commit(self: &Arc<Self>, entry: &Entry) -> bool {
        let container = entry.container();
        matches!(container.state, State::Running(_))
            && self.freeze(&container.id, Why::Commit).await.is_ok()
    }
}

/// Packs all that a container wrote.
///
/// # Errors
/// Conflict if it began to be removed meanwhile: what is gone by then was left out.
fn pack_whole(entry: &Entry, upper: Upper, to: &mut Layering) -> Result<u64> {
    let members = pack(upper, to)?;
    check_not_going(&entry.container(), "commit")?;
    Ok(members)
}

/// Packs what a container wrote, and says how many members that has.
fn pack(upper: Upper, to: &mut Layering) -> Result<u64> {
    let Upper { own, lowers, held: _held, .. } = upper;
    let start = MadeByStart::new(&lowers);
    let by_start = |path: &[u8], new: &Seen| start.tell(path, &new.stat);
    let by_start_or_image = |path: &[u8], new: &Seen| start.or_image(path, new);
    let names = |path: &[u8]| lowers.names(path);
    let (own, tree) = match own {
        Written::Changes(own) => (own, Tree::Upper(&by_start)),
        Written::Whole(own) => (own, Tree::Whole { made: &by_start_or_image, names: &names }),
    };
    let mut packer = Packer::new(to, tree);
    packer.pack(own, None, None).map_err(|error| error.while_doing("commit"))?;
    let members = packer.members();
    packer.finish()?;
    Ok(members)
}

/// A container's settings as an image has them.
fn defaults(config: &ContainerConfig) -> Defaults {
    Defaults {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.iter().map(ToString::to_string).collect(),
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: config.volumes.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config.healthcheck.clone(),
        shell: config.shell.clone(),
        on_build: config.on_build.clone(),
        args_escaped: false,
    }
}

/// What the instructions left unsaid is the container's: a new entrypoint takes its command away,
/// and nothing else does.
fn filled_up(changed: Defaults, container: &ContainerConfig) -> Result<Defaults> {
    let mut config = ContainerConfig {
        user: changed.user.clone(),
        env: changed.env.clone(),
        entrypoint: changed.entrypoint.clone(),
        cmd: changed.cmd.clone(),
        volumes: changed.volumes.clone(),
        working_dir: changed.working_dir.clone(),
        labels: changed.labels.clone(),
        stop_signal: changed.stop_signal.clone(),
        healthcheck: changed.healthcheck.clone(),
        shell: changed.shell.clone(),
        on_build: changed.on_build.clone(),
        ..ContainerConfig::default()
    };
    for port in &changed.exposed_ports {
        config.exposed_ports.insert(port.parse()?);
    }
    merge::merge(&mut config, &defaults(container))?;
    Ok(defaults(&config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use crate::container::record::Container;
    use crate::error::Kind;
    use crate::image::archive::testing::{Member, tar_of};
    use crate::snapshot::DriverName;
    use crate::snapshot::testing::Stage;

    #[tokio::test]
    async fn a_container_that_goes_meanwhile_is_made_no_image_of() {
        let stage = Stage::new(DriverName::Overlay);
        let layer = tar_of(&[Member::file("a", b"a")]);
        let image = stage.container(&[layer], "box").await;
        let entry = Arc::new(Entry::new(fixture::container()));
        let make = async || {
            let upper = stage.images.snapshots().upper("box").unwrap();
            let commit = Commit {
                parent: Some(image.id),
                below: upper.below,
                reference: None,
                author: String::new(),
                message: String::new(),
                created_by: String::new(),
                defaults: Defaults::default(),
            };
            let entry = Arc::clone(&entry);
            stage.images.commit(commit, move |to| pack_whole(&entry, upper, to)).await
        };
        make().await.unwrap();
        let state = State::Removing { exit: None, volumes: false };
        entry.publish(Arc::new(Container { state, ..fixture::container() }));
        let error = make().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("which is being removed"), "{error}");
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split(' ').map(str::to_owned).collect())
    }

    fn committed(changes: &[&str]) -> Defaults {
        let container = ContainerConfig {
            cmd: words("sleep 1"),
            env: vec!["A=1".to_owned(), "B=2".to_owned()],
            labels: [("l".to_owned(), "1".to_owned())].into(),
            working_dir: "/work".to_owned(),
            exposed_ports: ["80/tcp".parse().unwrap()].into(),
            ..ContainerConfig::default()
        };
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let changed = Images::changed(defaults(&container), &changes);
        filled_up(changed.unwrap(), &container).unwrap()
    }

    #[test]
    fn an_image_does_what_its_container_did() {
        let image = committed(&[]);
        assert_eq!(image.cmd, words("sleep 1"));
        assert_eq!(image.env, ["A=1", "B=2"]);
        assert_eq!(image.working_dir, "/work");
        assert!(image.exposed_ports.contains("80/tcp"));
    }

    #[test]
    fn changes_count_more() {
        let image = committed(&["ENV A=3", "LABEL m=2", "EXPOSE 81/udp", "WORKDIR deep", "USER 7"]);
        assert_eq!(image.env, ["A=3", "B=2"]);
        assert_eq!(image.labels.len(), 2);
        assert_eq!(image.exposed_ports.len(), 2);
        assert_eq!((image.working_dir.as_str(), image.user.as_str()), ("/work/deep", "7"));
        let image = committed(&["ENTRYPOINT [\"/start\"]"]);
        assert_eq!((image.entrypoint, image.cmd), (words("/start"), None));
        let image = committed(&["CMD [\"ls\", \"-l\"]"]);
        assert_eq!((image.entrypoint, image.cmd), (None, words("ls -l")));
    }
}

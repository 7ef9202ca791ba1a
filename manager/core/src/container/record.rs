//! A container as the store keeps it and as every reader sees it: a snapshot that never changes.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::ContainerConfig;
use super::health::Health;
use super::host_config::HostConfig;
use super::id::ContainerId;
use super::mount::Propagation;
use super::settle::clean;
use super::state::State;
use crate::network::Sandbox;
use crate::volume::LOCAL;

/// One container at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without docker's leading slash.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The program.
    pub path: String,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// The image as its user named it.
    pub image_name: String,
    /// The image's id, `sha256:…`.
    pub image_id: String,
    /// What runs in it, with the image's settings merged in.
    pub config: ContainerConfig,
    /// How it sits on this host, with the manager's defaults filled in.
    pub host: HostConfig,
    /// Where it is in its life.
    pub state: State,
    /// Its network stack while it runs, unless it has another container's.
    pub network: Option<Sandbox>,
    /// What is mounted into it.
    pub mounts: Vec<MountPoint>,
    /// How often the restart policy started it.
    pub restart_count: u32,
    /// Its user stopped it; known before it is stopped, and until its user starts it.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// It is frozen, or about to be, only while an image is made of it.
    #[serde(default)]
    pub frozen_for_commit: bool,
    /// What its health check found, if it has one, and has run.
    #[serde(default)]
    pub health: Option<Health>,
    /// Its directory under the data root.
    pub directory: PathBuf,
    /// The log, if its driver writes a file.
    pub log_path: Option<PathBuf>,
    /// Ids of the exec instances that exist. Not kept in the store: they end with the manager.
    #[serde(skip)]
    pub execs: Vec<String>,
}

impl Container {
    /// The volumes that are mounted into it, and who keeps them.
    pub fn volumes(&self) -> impl Iterator<Item = (&MountPoint, &str, &str)> {
        self.mounts.iter().filter_map(|point| match &point.source {
            MountSource::Volume { name, driver, .. } => Some((point, &**name, &**driver)),
            MountSource::Path(_) | MountSource::Tmpfs { .. } | MountSource::Image { .. } => None,
        })
    }

    /// The keys of all its snapshots: its root's, and those of images that are mounted into it.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &str> {
        let mounted = self.mounts.iter().filter_map(|point| match &point.source {
            MountSource::Image { snapshot, .. } => Some(snapshot.as_str()),
            _ => None,
        });
        std::iter::once(self.id.as_str()).chain(mounted)
    }

    /// What is mounted into it but for `--tmpfs`, which has a place of its own among its settings.
    pub fn shown_mounts(&self) -> impl Iterator<Item = &MountPoint> {
        let tmpfs: Vec<String> = self.host.tmpfs.keys().map(|target| clean(target)).collect();
        let is_shown = move |point: &&MountPoint| {
            !matches!(point.source, MountSource::Tmpfs { .. }) || !tmpfs.contains(&point.target)
        };
        self.mounts.iter().filter(is_shown)
    }
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// What it is.
    pub source: MountSource,
    /// The path inside.
    pub target: String,
    /// The options as its user wrote them.
    pub mode: String,
    /// Whether it can be written.
    pub writable: bool,
    /// How mounts below it spread; `None` where that has no meaning.
    pub propagation: Option<Propagation>,
    /// Leave out what is mounted below the source.
    #[serde(default)]
    pub non_recursive: bool,
    /// How far read-only reaches.
    #[serde(default)]
    pub read_only: ReadOnlyReach,
}

/// What a [`MountPoint`] shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host.
    Path(PathBuf),
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Where its content is; empty if only its plugin knows.
        path: PathBuf,
        /// Who keeps it.
        #[serde(default = "local")]
        driver: String,
        /// Whether it was made for this container alone and goes with it.
        anonymous: bool,
        /// What of it is mounted; none: all.
        #[serde(default)]
        subpath: Option<String>,
    },
    /// The files of an image.
    Image {
        /// The image as its user named it.
        name: String,
        /// Its id.
        id: String,
        /// The key of the snapshot that shows them.
        snapshot: String,
        /// What of them is mounted; none: all.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Mount options.
        options: Vec<String>,
    },
}

fn local() -> String {
    LOCAL.to_owned()
}

/// How far "read-only" reaches below a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadOnlyReach {
    /// All mounts below, if the kernel can; else the top only.
    #[default]
    IfPossible,
    /// The top only.
    TopOnly,
    /// All mounts below, or fail.
    Required,
}

//! Containers: their records, what can be done with them, and what is done when they end.
//!
//! Reading never waits: every container has a published snapshot. Whoever changes a container
//! holds it (`Entry::doing`), writes its record, and then publishes the new snapshot. Changes run
//! to their end even if their caller goes away.

pub mod attachment;
pub mod config;
pub mod health;
pub mod host_config;
pub mod id;
pub mod modes;
pub mod mount;
pub mod options;
pub mod ports;
pub mod record;
pub mod resources;
pub mod signal;
pub mod state;

mod announce;
mod attach;
pub(crate) mod backlog;
mod bundle;
mod cdi;
mod changes;
mod commit;
mod copy;
mod create;
mod empty_lists;
mod endpoint_options;
mod entry;
mod exec;
mod export;
pub(crate) mod failure;
mod files;
#[cfg(test)]
mod fixture;
mod flag;
mod index;
mod linger;
mod link;
mod links;
mod log;
mod looking;
mod membership;
mod merge;
mod monitor;
mod mount_mode;
mod mounting;
mod name;
mod networking;
mod pause;
mod prepare;
mod publishing;
mod remapped;
mod remove;
mod rename;
pub(crate) mod rootfs;
mod settle;
pub(crate) mod spec;
mod staging;
mod start;
mod stats;
pub(crate) mod step;
mod stop;
mod storage;
mod supervise;
mod takeover;
mod top;
mod undo;
mod unsaved;
mod update;
mod view;
mod volumes_from;
mod work;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::error::Result;
use crate::events::Events;
use crate::host::{Cgroups, Security, System};
use crate::image::{ImageId, ImageUser, ImageUsers, Images};
use crate::network::Networks;
use crate::store::{Store, Table};
use crate::volume::Volumes;

use exec::Execs;
use index::Index;
use log::Watcher;
use spec::HostFacts;
use work::blocking;

pub use attachment::{Attachment, InputSender};
pub use changes::{Change, ChangeKind};
pub use commit::CommitOptions;
pub use config::ContainerConfig;
pub use copy::{CopyInto, PathStat};
pub use empty_lists::{EmptyLists, HostList};
pub use health::{Health, HealthStatus, Probe};
pub use host_config::{HostConfig, LogConfig, RestartPolicy, TerminalSize};
pub use id::ContainerId;
pub use link::Link;
pub use membership::Membership;
pub use modes::{CgroupnsMode, IpcMode, NetworkMode, PidMode, UtsMode};
pub use mount::{Bind, BindSource, MountKind, MountRequest, Propagation, VolumeMount};
pub use options::{
    AttachOptions, Create, Created, ExecConfig, ExecStart, ExecState, ExitOutcome, LogLine,
    LogOptions, Output, OutputStream, RemoveOptions, StopOptions, Top, WaitCondition,
};
pub use ports::{HostPort, Port, PortBinding, Protocol};
pub use record::{Container, MountPoint, MountSource, ReadOnlyReach};
pub use resources::{DeviceMapping, DeviceRate, DeviceRequest, DeviceWeight, Resources, Ulimit};
pub use signal::Signal;
pub use state::{Exit, Life, StartFailure, State};
pub use stats::{BlockIo, BlockIoEntry, Cpu, Figures, Memory, Pids, Processors, Sample, Traffic};
pub use tare_proto::log::DRIVERS as LOG_DRIVERS;
pub use update::Update;

/// The records of containers, by id.
const RECORDS: Table<Container> = Table::new("containers");

/// The containers of one manager.
pub struct Containers {
    config: Arc<Config>,
    store: Arc<Store>,
    events: Arc<Events>,
    images: Arc<Images>,
    networks: Arc<Networks>,
    volumes: Arc<Volumes>,
    /// What of the host decides specs, as it was when this was opened.
    facts: HostFacts,
    /// Bytes of memory that the host has.
    host_memory: u64,
    cgroups: Cgroups,
    index: Arc<Index>,
    execs: Execs,
    log_watcher: Watcher,
    /// Whether all that an earlier manager left has been looked at.
    taken_over: watch::Sender<bool>,
}

/// What containers are made of.
pub struct Parts {
    /// Settings.
    pub config: Arc<Config>,
    /// Records.
    pub store: Arc<Store>,
    /// Where to say what happens.
    pub events: Arc<Events>,
    /// What they are made from.
    pub images: Arc<Images>,
    /// What they are connected to.
    pub networks: Arc<Networks>,
    /// What is mounted into them by name.
    pub volumes: Arc<Volumes>,
}

impl Containers {
    /// Takes over what the store and the machine know of containers: those that run on, those that
    /// ended meanwhile, and what an earlier manager was in the middle of.
    pub async fn open(parts: Parts) -> Result<Arc<Self>> {
        let Parts { config, store, events, images, networks, volumes } = parts;
        let system = System::read();
        let facts = host_facts(&config, &system);
        let containers = Arc::new(Self {
            config,
            store,
            events,
            images,
            networks,
            volumes,
            facts,
            host_memory: system.memory,
            cgroups: Cgroups::read(),
            index: Arc::new(Index::default()),
            execs: Execs::default(),
            log_watcher: Watcher::default(),
            taken_over: watch::Sender::new(false),
        });
        containers.take_over().await?;
        Ok(containers)
    }

    /// All containers as they are now, in no order.
    pub fn list(&self) -> Vec<Arc<Container>> {
        self.index.all().iter().map(|entry| entry.container()).collect()
    }

    /// The container with this name, id or unambiguous beginning of an id.
    ///
    /// # Errors
    /// Not found, or invalid if several ids begin so.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>> {
        let container = self.index.find(reference)?.container();
        let execs = self.execs.of(&container.id);
        if execs.is_empty() {
            return Ok(container);
        }
        Ok(Arc::new(Container { execs, ..(*container).clone() }))
    }

    /// Writes a container's record; its caller publishes what it gets back.
    async fn save(&self, container: Container) -> Result<Arc<Container>> {
        let (store, container) = (Arc::clone(&self.store), Arc::new(container));
        let record = Arc::clone(&container);
        blocking(move || store.write(|change| change.put(&RECORDS, record.id.as_str(), &*record)))
            .await?;
        Ok(container)
    }
}

impl ImageUsers for Containers {
    fn containers_using(&self, image: &ImageId) -> Vec<ImageUser> {
        let image = image.to_string();
        // Those that are being made first: meanwhile they become containers.
        let coming = self.index.coming_from(&image).into_iter().map(|id| ImageUser {
            id: id.to_string(),
            name: String::new(),
            running: false,
        });
        let mut users: Vec<ImageUser> = coming.collect();
        let made = self.list();
        let made = made.iter().filter(|container| container.image_id == image);
        users.extend(made.map(|container| ImageUser {
            id: container.id.to_string(),
            name: container.name.clone(),
            running: container.state.is_running(),
        }));
        users
    }
}

fn host_facts(config: &Config, system: &System) -> HostFacts {
    let kernel = spec::seccomp::kernel_version(&system.kernel);
    HostFacts {
        capabilities: spec::capabilities::available(),
        // A kernel that doesn't say its version is taken for the oldest that is supported.
        kernel: kernel.unwrap_or((5, 10)),
        seccomp: Security::read().seccomp,
        no_new_privileges: config.no_new_privileges,
    }
}

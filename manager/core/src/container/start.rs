//! Starting containers: one story from the network to the running process, with what takes each
//! step back if a later one fails.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use tare_proto::record::{FILE_NAME, TaskRecord};
use tare_proto::tare::shim::v1::{Log, Options};

use super::bundle::Bundle;
use super::entry::Entry;
use super::id::ContainerId;
use super::modes::{IpcMode, NetworkMode, PidMode};
use super::mount::BindSource;
use super::options::RemoveOptions;
use super::record::Container;
use super::rootfs::Rootfs;
use super::spec::environment::name_of;
use super::spec::namespaces::NetworkSource;
use super::spec::{self, Inputs};
use super::state::{Exit, Life, StartFailure, State};
use super::undo::Undo;
use super::work::{blocking, to_the_end};
use super::{Containers, announce, failure, mounting};
use crate::error::{Error, Kind, Result};
use crate::events::{Event, EventType};
use crate::network::{Connect, Endpoint};
use crate::shim::{self, CreateTask, Launch, Shim, Target};

/// Why a start failed, and the code that this leaves with the container.
type Failure = (i64, Error);

/// What a container joins of others.
#[derive(Debug, Default)]
struct Joined {
    network: Option<u32>,
    pid: Option<u32>,
    ipc: Option<u32>,
}

impl Containers {
    /// Starts a container.
    ///
    /// # Errors
    /// [`Kind::NotModified`] if it runs; conflict if it is paused or being removed; invalid if its
    /// program can't be executed, which is then said in the container's state too.
    pub async fn start(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let doing = entry.doing.lock().await;
            check_state(&entry.container().state)?;
            let outcome = containers.start_locked(&entry).await;
            drop(doing);
            // What removes itself when it ends does so too if it never came up.
            if outcome.is_err() && entry.container().host.auto_remove {
                let options = RemoveOptions { force: true, volumes: true };
                containers.remove_logged(&entry, options).await;
            }
            outcome
        })
        .await
    }

    /// The same for whoever holds the container already, and knows that it can be started.
    pub(super) async fn start_locked(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        entry.clients.hurry().await;
        let container = entry.container();
        let mut undo = Undo::default();
        match self.bring_up(entry, &container, &mut undo).await {
            Ok((running, shim)) => {
                entry.set_shim(Some(shim.clone()));
                entry.publish(Arc::clone(&running));
                announce::announce(&self.events, &running, "start");
                self.watch(Arc::clone(entry), shim);
                Ok(())
            }
            Err((code, error)) => {
                undo.run(container.id.as_str()).await;
                entry.take_clients();
                self.record_failure(entry, code, &error).await;
                Err(error)
            }
        }
    }

    async fn bring_up(
        self: &Arc<Self>,
        entry: &Entry,
        container: &Container,
        undo: &mut Undo,
    ) -> std::result::Result<(Arc<Container>, Shim), Failure> {
        let prepared = self.prepare(container, undo).await.map_err(failure::of_preparation)?;
        let Prepared { shim, task, endpoint } = prepared;
        let pid = shim.create(task).await.map_err(|error| {
            failure::of_runtime(
                error
                    .while_doing("failed to create task for container: failed to create shim task"),
            )
        })?;
        for client in entry.take_clients() {
            let attached = shim.attach(Target::Init, client.wanted, client.peer).await;
            let listening = attached.map_err(failure::of_preparation)?;
            entry.clients.carry(listening);
        }
        shim.start(Target::Init).await.map_err(failure::of_runtime)?;
        let life = Life { pid, started_at: self.start_time(container).await };
        let running =
            Container { state: State::Running(life), network: endpoint, ..container.clone() };
        let running = self.save(running).await.map_err(failure::of_preparation)?;
        Ok((running, shim))
    }

    /// All that comes before the runtime is asked.
    async fn prepare(&self, container: &Container, undo: &mut Undo) -> Result<Prepared> {
        let joined = self.joined(container)?;
        check_sources(container).await?;
        let (endpoint, reservations) = self.connect(container, undo).await?;
        let bundle = self.make_bundle(container, undo).await?;
        self.write_files(container, endpoint.as_ref()).await?;
        self.write_spec(container, endpoint.as_ref(), &joined, &bundle).await?;
        let shim = self.launch_shim(container, &bundle, reservations, undo).await?;
        let task = CreateTask {
            bundle: bundle.path,
            rootfs: self.images.snapshots().mounts(container.id.as_str())?,
            terminal: container.config.tty,
            open_stdin: container.config.open_stdin,
            options: self.shim_options(container)?,
        };
        Ok(Prepared { shim, task, endpoint })
    }

    /// The processes whose namespaces the container joins.
    fn joined(&self, container: &Container) -> Result<Joined> {
        let running = |name: &str, what: &str| {
            let other = self.find(name)?;
            let life = other.state.life().map(|life| life.pid);
            life.ok_or_else(|| {
                Error::conflict(format!("cannot join {what} of a non running container: {name}"))
            })
        };
        let host = &container.host;
        let mut joined = Joined::default();
        if let NetworkMode::Container(other) = &host.network_mode {
            joined.network = Some(running(other, "network")?);
        }
        if let PidMode::Container(other) = &host.pid_mode {
            joined.pid = Some(running(other, "PID namespace")?);
        }
        if let IpcMode::Container(other) = &host.ipc_mode {
            joined.ipc = Some(running(other, "IPC")?);
            if self.find(other)?.host.ipc_mode != IpcMode::Shareable {
                return Err(Error::conflict(format!(
                    "container {other}: non-shareable IPC (hint: use IpcMode:shareable for the \
                     donor container)"
                )));
            }
        }
        Ok(joined)
    }

    /// Connects the container to its network, unless it shares another container's.
    async fn connect(
        &self,
        container: &Container,
        undo: &mut Undo,
    ) -> Result<(Option<Endpoint>, Vec<OwnedFd>)> {
        let network = match &container.host.network_mode {
            NetworkMode::Container(_) => return Ok((None, Vec::new())),
            _ if container.config.network_disabled => "none",
            NetworkMode::Default | NetworkMode::Bridge => "bridge",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
            NetworkMode::Named(name) => name,
        };
        let request = Connect {
            container: container.id.to_string(),
            name: container.name.clone(),
            network: network.to_owned(),
            requested_ip: container.host.address,
            mac: container.host.mac_address.as_deref().map(str::parse).transpose()?,
            ports: super::publishing::requests(container)?,
        };
        let connected = self
            .networks
            .connect(request)
            .await
            .map_err(|error| error.while_doing("failed to set up container networking"))?;
        let (networks, id) = (Arc::clone(&self.networks), container.id.to_string());
        undo.push("disconnect from the network", async move { networks.disconnect(&id).await });
        self.events.publish(network_event(&connected.endpoint, "connect"));
        Ok((Some(connected.endpoint), connected.reservations))
    }

    async fn make_bundle(&self, container: &Container, undo: &mut Undo) -> Result<Bundle> {
        let bundle = Bundle::of(&self.config, &container.id);
        let shared = container.host.ipc_mode == IpcMode::Shareable;
        let size = container.host.shm_size.unwrap_or(self.config.shm_size);
        let (made, gone) = (bundle.clone(), bundle.clone());
        undo.push("take the bundle away", blocking(move || gone.remove()));
        blocking(move || made.make(shared.then_some(size))).await?;
        Ok(bundle)
    }

    async fn write_files(&self, container: &Container, endpoint: Option<&Endpoint>) -> Result<()> {
        if matches!(container.host.network_mode, NetworkMode::Container(_)) {
            return Ok(());
        }
        let interface = endpoint.and_then(|endpoint| endpoint.interface.clone());
        let address = interface.as_ref().map(|interface| interface.address);
        let gateway = interface.as_ref().map(|interface| interface.gateway);
        let (files, config) = (self.files_of(container), Arc::clone(&self.config));
        let container = container.clone();
        blocking(move || {
            // What the last run recorded must not be taken for this one's.
            let _ = std::fs::remove_file(container.directory.join(FILE_NAME));
            files.write(&container, address, gateway, &config)
        })
        .await
    }

    async fn write_spec(
        &self,
        container: &Container,
        endpoint: Option<&Endpoint>,
        joined: &Joined,
        bundle: &Bundle,
    ) -> Result<()> {
        let mounts = self.images.snapshots().mounts(container.id.as_str())?;
        let accounts = blocking(move || Rootfs::mount(&mounts)?.accounts()).await?;
        let account = accounts.resolve(&container.config.user, &container.host.group_add)?;
        let files = self.files_of(container);
        let own_shm = bundle.shared_memory();
        let other_shm = match &container.host.ipc_mode {
            IpcMode::Container(other) => {
                Some(Bundle::of(&self.config, &self.find(other)?.id).shared_memory())
            }
            IpcMode::Shareable => Some(own_shm),
            IpcMode::Host => Some("/dev/shm".into()),
            IpcMode::Default | IpcMode::None | IpcMode::Private => None,
        };
        let netns = endpoint.and_then(|endpoint| endpoint.netns.as_deref());
        let spec = spec::generate(&Inputs {
            container,
            host: &self.facts,
            account: &account,
            cgroup: self.cgroup_of(container),
            network: match (joined.network, netns) {
                (Some(pid), _) => NetworkSource::Process(pid),
                (None, Some(path)) => NetworkSource::Held(path),
                (None, None) => NetworkSource::Host,
            },
            pid_of: joined.pid,
            ipc_of: joined.ipc,
            shared_memory: other_shm.as_deref(),
            files: &files.targets(),
            init: spec::wants_init(container, self.config.init_by_default)
                .then_some(self.config.init.as_path()),
        })?;
        let bundle = bundle.clone();
        blocking(move || bundle.write_spec(&spec)).await
    }

    async fn launch_shim(
        &self,
        container: &Container,
        bundle: &Bundle,
        reservations: Vec<OwnedFd>,
        undo: &mut Undo,
    ) -> Result<Shim> {
        let (config, id, path) =
            (Arc::clone(&self.config), container.id.to_string(), bundle.path.clone());
        undo.push("clean up after the shim", async move {
            shim::clean_up(&config.shim, &id, &path, &config.socket_directory()).await
        });
        let shim = shim::launch(Launch {
            program: &self.config.shim,
            id: container.id.as_str(),
            bundle: &bundle.path,
            sockets: &self.config.socket_directory(),
            reservations,
        })
        .await?;
        let last = shim.clone();
        undo.push("end the shim", async move { last.end().await });
        Ok(shim)
    }

    fn shim_options(&self, container: &Container) -> Result<Options> {
        let runtime = self.config.runtimes.get(&container.host.runtime).ok_or_else(|| {
            Error::invalid(format!("unknown or invalid runtime name: {}", container.host.runtime))
        })?;
        let log = &container.host.log;
        Ok(Options {
            runtime: runtime.path.to_string_lossy().into_owned(),
            runtime_root: self.config.runtime_root().to_string_lossy().into_owned(),
            systemd_cgroup: false,
            state_directory: container.directory.to_string_lossy().into_owned(),
            log: Some(Log {
                driver: log.driver.clone(),
                options: log.options.clone().into_iter().collect(),
                path: container
                    .log_path
                    .as_ref()
                    .map(|path| path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                attributes: log_attributes(container).into_iter().collect(),
            }),
            stdin_once: container.config.stdin_once,
        })
    }

    /// The cgroup of a container.
    fn cgroup_of(&self, container: &Container) -> String {
        let own = container.host.resources.cgroup_parent.as_str();
        let parent = if own.is_empty() { &self.config.cgroup_parent } else { own };
        format!("{}/{}", super::settle::clean(parent).trim_end_matches('/'), container.id)
    }

    /// When the shim let the process go.
    async fn start_time(&self, container: &Container) -> Timestamp {
        let record = self.task_record(container).await;
        let started = record.and_then(|record| record.started_at?.parse().ok());
        started.unwrap_or_else(Timestamp::now)
    }

    /// What the shim has recorded of the container, if it has.
    pub(super) async fn task_record(&self, container: &Container) -> Option<TaskRecord> {
        let path = container.directory.join(FILE_NAME);
        let read = blocking(move || {
            let bytes = std::fs::read(&path)
                .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
            serde_json::from_slice(&bytes)
                .map_err(|error| Error::system(format!("read {}: {error}", path.display())))
        });
        read.await.ok()
    }

    /// Leaves word of a failed start with the container.
    async fn record_failure(&self, entry: &Entry, code: i64, error: &Error) {
        let container = entry.container();
        let error = error.to_string();
        let state = match &container.state {
            State::Exited(exit) => State::Exited(Exit { code, error, ..exit.clone() }),
            _ => State::Created { failure: Some(StartFailure { code, error }) },
        };
        let failed = Container { state, network: None, ..(*container).clone() };
        match self.save(failed).await {
            Ok(failed) => entry.publish(failed),
            Err(error) => {
                tracing::error!(container = %container.id, %error, "record a failed start")
            }
        }
    }
}

/// What stands ready for the runtime.
struct Prepared {
    shim: Shim,
    task: CreateTask,
    endpoint: Option<Endpoint>,
}

/// Whether a container in this state can be started.
pub(super) fn check_state(state: &State) -> Result<()> {
    match state {
        State::Created { .. } | State::Exited(_) => Ok(()),
        State::Paused(_) => {
            Err(Error::conflict("cannot start a paused container, try unpause instead"))
        }
        State::Running(_) => Err(Error::new(Kind::NotModified, "container is already running")),
        State::Removing { .. } | State::Dead { .. } => {
            Err(Error::conflict("container is marked for removal and cannot be started"))
        }
    }
}

/// Sources of binds may have gone since the container was made.
async fn check_sources(container: &Container) -> Result<()> {
    let made: Vec<String> = container
        .host
        .binds
        .iter()
        .filter_map(|bind| match &bind.source {
            BindSource::Path(path) => Some(super::settle::clean(path)),
            BindSource::Volume(_) => None,
        })
        .collect();
    let points = container.mounts.clone();
    blocking(move || {
        for point in points {
            if let super::record::MountSource::Path(path) = &point.source {
                let create = made.iter().any(|made| path.as_os_str() == made.as_str());
                mounting::provide_path(path, create)?;
            }
        }
        Ok(())
    })
    .await
}

/// The labels and variables that the log's options select into every line.
fn log_attributes(container: &Container) -> Vec<(String, String)> {
    let selected = |option: &str| -> Vec<&str> {
        let names = container.host.log.options.get(option).map(String::as_str);
        names.unwrap_or_default().split(',').map(str::trim).collect()
    };
    let (labels, variables) = (selected("labels"), selected("env"));
    let labels = container
        .config
        .labels
        .iter()
        .filter(|(label, _)| labels.contains(&label.as_str()))
        .map(|(label, value)| (label.clone(), value.clone()));
    let variables = container
        .config
        .env
        .iter()
        .filter(|variable| variables.contains(&name_of(variable)))
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    labels.chain(variables).collect()
}

/// An event about an endpoint's network.
pub(super) fn network_event(endpoint: &Endpoint, action: &str) -> Event {
    let driver = if endpoint.network == "none" { "null" } else { &endpoint.network };
    Event::now(EventType::Network, action, endpoint.network_id.clone())
        .with("container", endpoint.container.clone())
        .with("name", endpoint.network.clone())
        .with("type", driver)
}

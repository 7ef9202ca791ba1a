//! All that a start needs before the runtime is asked: the network, the bundle with its spec, the
//! files of ours, and a shim that waits. Each step says how it is taken back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tare_proto::record::FILE_NAME;
use tare_proto::tare::shim::v1::{Log, Options};

use super::bundle::{Bundle, Parts};
use super::entry::{not_running, restarting};
use super::link::Linked;
use super::log::{Place, attributes_of, tag_of};
use super::modes::{IpcMode, NetworkMode, PidMode};
use super::mount::BindSource;
use super::record::{Container, MountSource};
use super::remapped::Users;
use super::rootfs::Rootfs;
use super::settle::clean;
use super::spec::namespaces::NetworkSource;
use super::spec::user::Account;
use super::spec::{self, Inputs};
use super::state::State;
use super::supervise::{policy, probe};
use super::undo::Undo;
use super::work::blocking;
use super::{Containers, announce, cdi, files, membership, mounting, publishing, staging};
use crate::error::{Error, Result};
use crate::network::{Connect, Connected, Reservation, Sandbox};
use crate::shim::{self, CreateTask, Launch, Shim, restart_policy};
use crate::volume::Attached;

/// What stands ready for the runtime.
pub(super) struct Prepared {
    pub(super) shim: Shim,
    pub(super) task: CreateTask,
    pub(super) sandbox: Option<Sandbox>,
}

/// A container as the runtime is told of it, and who runs it.
struct Told<'a> {
    container: &'a Container,
    users: Option<&'a Users>,
    account: &'a Account,
}

/// What a container joins of others.
#[derive(Debug, Default)]
struct Joined {
    network: Option<JoinedNetwork>,
    pid: Option<u32>,
    ipc: Option<u32>,
}

/// The network stack of another container. Where it is held outlives that one's process.
#[derive(Debug)]
enum JoinedNetwork {
    Held(PathBuf),
    Host,
}

impl Containers {
    /// All that comes before the runtime is asked.
    pub(super) async fn prepare(&self, container: &Container, undo: &mut Undo) -> Result<Prepared> {
        let joined = self.joined(container)?;
        let linked = self.linked(container)?;
        let users = self.users_for(container)?;
        check_sources(container).await?;
        let bundle = self.make_bundle(container, users.as_ref(), undo).await?;
        // A network stack belongs to the users that the bundle holds, if they aren't the host's.
        let owner = users.is_some().then(|| bundle.users());
        // The network is the kernel's to make, who runs the program is in files of the image.
        let (connected, account) =
            tokio::join!(self.connect(container, owner, undo), self.account_of(container));
        let (sandbox, reservations) = connected?;
        let account = account?;
        let attached = self.mount_volumes(container, undo).await?;
        self.write_files(container, sandbox.as_ref(), &linked).await?;
        let told = told_of(container, &linked);
        let told = Told { container: &told, users: users.as_ref(), account: &account };
        self.write_spec(told, &attached, sandbox.as_ref(), &joined, &bundle).await?;
        let shim = self.launch_shim(container, &bundle, reservations, undo).await?;
        let mut rootfs = self.images.snapshots().mounts(container.id.as_str())?;
        if users.is_some() {
            // So that the shim shows each part of it with their ids.
            let option = format!("X-tare.userns={}", bundle.users().display());
            rootfs.iter_mut().for_each(|mount| mount.options.push(option.clone()));
        }
        let task = CreateTask {
            bundle: bundle.path,
            rootfs,
            terminal: container.config.tty,
            open_stdin: container.config.open_stdin,
            options: self.shim_options(container, users.as_ref(), &account)?,
        };
        Ok(Prepared { shim, task, sandbox })
    }

    /// What the container joins of others.
    fn joined(&self, container: &Container) -> Result<Joined> {
        let host = &container.host;
        let mut joined = Joined::default();
        if let NetworkMode::Container(other) = &host.network_mode {
            joined.network = Some(self.joined_network(other)?);
        }
        if let PidMode::Container(other) = &host.pid_mode {
            joined.pid = Some(self.joined_process(other, "PID namespace")?);
        }
        if let IpcMode::Container(other) = &host.ipc_mode {
            joined.ipc = Some(self.joined_process(other, "IPC namespace")?);
            if self.find(other)?.host.ipc_mode != IpcMode::Shareable {
                return Err(Error::conflict(format!(
                    "container {other}: non-shareable IPC (hint: use IpcMode:shareable for the \
                     donor container)"
                )));
            }
        }
        Ok(joined)
    }

    fn joined_process(&self, name: &str, what: &str) -> Result<u32> {
        let other = self.find(name)?;
        match &other.state {
            State::Running(life) | State::Paused(life) => Ok(life.pid),
            State::Restarting(_) => Err(restarting(&other)),
            _ => Err(Error::system(format!("failed to join {what}: {}", not_running(&other)))),
        }
    }

    fn joined_network(&self, name: &str) -> Result<JoinedNetwork> {
        let other = self.find(name)?;
        if !other.state.is_running() {
            return Err(Error::conflict(format!(
                "cannot join network of a non running container: {name}"
            )));
        }
        match (&other.host.network_mode, &other.network) {
            // Each can only join one that was there before it.
            (NetworkMode::Container(next), _) => self.joined_network(next),
            (_, Some(Sandbox { netns: Some(path), .. })) => Ok(JoinedNetwork::Held(path.clone())),
            (_, Some(Sandbox { netns: None, .. })) => Ok(JoinedNetwork::Host),
            (_, None) => Err(restarting(&other)),
        }
    }

    /// Connects the container to its networks, unless it shares another container's.
    async fn connect(
        &self,
        container: &Container,
        user_namespace: Option<PathBuf>,
        undo: &mut Undo,
    ) -> Result<(Option<Sandbox>, Vec<Reservation>)> {
        if let NetworkMode::Container(_) = &container.host.network_mode {
            return Ok((None, Vec::new()));
        }
        let connected = self
            .connect_all(container, user_namespace)
            .await
            .map_err(|error| error.while_doing("failed to set up container networking"))?;
        let (networks, id) = (Arc::clone(&self.networks), container.id.to_string());
        undo.push("disconnect from the networks", async move { networks.disconnect(&id).await });
        for endpoint in &connected.sandbox.endpoints {
            self.events.publish(announce::network_event(container, endpoint, "connect"));
        }
        Ok((Some(connected.sandbox), connected.reservations))
    }

    async fn connect_all(
        &self,
        container: &Container,
        user_namespace: Option<PathBuf>,
    ) -> Result<Connected> {
        let memberships = container.memberships();
        for (name, wanted) in &memberships {
            membership::check(&self.networks.find(name)?, wanted)?;
            membership::check_together(name, memberships.keys().map(String::as_str))?;
        }
        self.networks
            .connect(Connect {
                container: container.id.to_string(),
                name: container.name.clone(),
                user_namespace,
                wishes: container.wishes()?,
                ports: publishing::requests(container),
                name_servers: files::name_servers(container, &self.config),
                forwarding: files::forwarding(container, &self.config),
            })
            .await
    }

    /// Mounts those of its volumes that are something else than a directory of ours; says which, and
    /// where they are.
    async fn mount_volumes(&self, container: &Container, undo: &mut Undo) -> Result<Attached> {
        let names: Vec<String> = container.volumes().map(|(_, name, _)| name.to_owned()).collect();
        if names.is_empty() {
            return Ok(Attached::default());
        }
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        undo.push("unmount the volumes", blocking(move || volumes.unmount(id.as_str())));
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        blocking(move || volumes.mount(id.as_str(), &names)).await
    }

    /// Puts together what of its mounts is not taken from its own place.
    async fn stage(
        &self,
        container: &Container,
        attached: &Attached,
        users: Option<&Users>,
        bundle: &Bundle,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let points = &container.mounts;
        if !points.iter().any(|point| staging::is_staged(&point.source, &attached.places)) {
            return Ok(BTreeMap::new());
        }
        let (images, bundle) = (Arc::clone(&self.images), bundle.clone());
        let (points, places) = (points.clone(), attached.places.clone());
        let users = users.map(|_| bundle.users());
        blocking(move || {
            staging::stage(&points, &places, &bundle, users.as_deref(), images.snapshots())
        })
        .await
    }

    async fn make_bundle(
        &self,
        container: &Container,
        users: Option<&Users>,
        undo: &mut Undo,
    ) -> Result<Bundle> {
        let bundle = Bundle::of(&self.config, &container.id);
        let shared = container.host.ipc_mode == IpcMode::Shareable;
        let size = container.host.shm_size.unwrap_or_else(|| self.config.live().shm_size);
        let parts = Parts {
            shared_memory: shared.then_some(size),
            id_map: users.map(|users| users.id_map.clone()),
            joined_users: users.and_then(|users| users.joined.clone()),
        };
        let (made, gone) = (bundle.clone(), bundle.clone());
        undo.push("take the bundle away", blocking(move || gone.remove()));
        blocking(move || made.make(&parts)).await?;
        Ok(bundle)
    }

    async fn write_files(
        &self,
        container: &Container,
        sandbox: Option<&Sandbox>,
        linked: &[Linked],
    ) -> Result<()> {
        // What the last run recorded must not be taken for this one's.
        let record = container.directory.join(FILE_NAME);
        blocking(move || {
            let _ = std::fs::remove_file(record);
            Ok(())
        })
        .await?;
        if matches!(container.host.network_mode, NetworkMode::Container(_)) {
            return Ok(());
        }
        let (files, config) = (self.files_of(container), Arc::clone(&self.config));
        if let Some(sandbox) = sandbox {
            self.tell_linked(container, sandbox).await?;
        }
        let host = self.networks.host_gateways();
        let (container, sandbox) = (container.clone(), sandbox.cloned());
        let linked = linked.to_vec();
        blocking(move || files.write(&container, sandbox.as_ref(), &linked, &host, &config)).await
    }

    /// Who runs the container's program.
    async fn account_of(&self, container: &Container) -> Result<Account> {
        let mounts = self.images.snapshots().mounts(container.id.as_str())?;
        let accounts = blocking(move || Rootfs::mount(&mounts)?.accounts()).await?;
        accounts.resolve(&container.config.user, &container.host.group_add)
    }

    async fn write_spec(
        &self,
        Told { container, users, account }: Told<'_>,
        attached: &Attached,
        sandbox: Option<&Sandbox>,
        joined: &Joined,
        bundle: &Bundle,
    ) -> Result<()> {
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
        let held_users = bundle.users();
        let netns = sandbox.and_then(|sandbox| sandbox.netns.as_deref());
        let staged = self.stage(container, attached, users, bundle).await?;
        let mut spec = spec::generate(&Inputs {
            container,
            host: &self.facts,
            account,
            cgroup: self.cgroup_of(container),
            users: users.map(|users| (&users.id_map, held_users.as_path())),
            network: match (&joined.network, netns) {
                (Some(JoinedNetwork::Held(path)), _) => NetworkSource::Held(path),
                (None, Some(path)) => NetworkSource::Held(path),
                (Some(JoinedNetwork::Host), _) | (None, None) => NetworkSource::Host,
            },
            pid_of: joined.pid,
            ipc_of: joined.ipc,
            shared_memory: other_shm.as_deref(),
            limited: self.images.snapshots().is_limited(container.id.as_str())?,
            files: &files.targets(),
            staged: &staged,
            foreign: &attached.foreign,
            init: spec::wants_init(container, self.config.init_by_default)
                .then_some(self.config.init.as_path()),
        })?;
        let (bundle, wanted) = (bundle.clone(), container.host.resources.device_requests.clone());
        blocking(move || {
            cdi::add(&mut spec, &wanted)?;
            bundle.write_spec(&spec)
        })
        .await
    }

    async fn launch_shim(
        &self,
        container: &Container,
        bundle: &Bundle,
        reservations: Vec<Reservation>,
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

    fn shim_options(
        &self,
        container: &Container,
        users: Option<&Users>,
        account: &Account,
    ) -> Result<Options> {
        let live = self.config.live();
        let runtime = live.runtime(&container.host.runtime).ok_or_else(|| {
            Error::invalid(format!("unknown or invalid runtime name: {}", container.host.runtime))
        })?;
        let log = &container.host.log;
        let (io_uid, io_gid) = users.map_or((0, 0), |users| users.id_map.root());
        Ok(Options {
            runtime: runtime.path.to_string_lossy().into_owned(),
            runtime_arguments: runtime.arguments.clone(),
            runtime_root: self.config.runtime_root().to_string_lossy().into_owned(),
            systemd_cgroup: false,
            state_directory: container.directory.to_string_lossy().into_owned(),
            log: Some(Log {
                driver: log.driver.clone(),
                options: log.options.clone().into_iter().collect(),
                path: Place::of(container)
                    .map(|place| place.path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                attributes: attributes_of(container)?.into_iter().collect(),
                tag: tag_of(container)?,
                container_id: container.id.to_string(),
                container_name: container.name.clone(),
                image_name: container.image_name.clone(),
            }),
            stdin_once: container.config.stdin_once,
            restart: Some(restart_policy(policy::of_shim(container))),
            health: probe::check_of(container, account, &self.facts)?,
            restarts: container.restart_count,
            io_uid,
            io_gid,
        })
    }

    /// The cgroup of a container.
    fn cgroup_of(&self, container: &Container) -> String {
        let own = container.host.resources.cgroup_parent.as_str();
        let parent = if own.is_empty() { &self.config.cgroup_parent } else { own };
        format!("{}/{}", clean(parent).trim_end_matches('/'), container.id)
    }
}

/// The container with what its program shall know of those that it is linked to; what its user has
/// set counts more.
fn told_of<'a>(container: &'a Container, linked: &[Linked]) -> Cow<'a, Container> {
    if linked.is_empty() {
        return Cow::Borrowed(container);
    }
    let mut told = container.clone();
    let own = std::mem::take(&mut told.config.env);
    told.config.env =
        linked.iter().flat_map(|other| other.variables(&container.name)).chain(own).collect();
    Cow::Owned(told)
}

/// Sources of binds may have gone since the container was made.
async fn check_sources(container: &Container) -> Result<()> {
    let made: Vec<String> = container
        .host
        .binds
        .iter()
        .filter_map(|bind| match &bind.source {
            BindSource::Path(path) => Some(clean(path)),
            BindSource::Volume(_) | BindSource::Anonymous => None,
        })
        .collect();
    let points = container.mounts.clone();
    blocking(move || {
        for point in points {
            if let MountSource::Path(path) = &point.source {
                let create = made.iter().any(|made| path.as_os_str() == made.as_str());
                mounting::provide_path(path, create)?;
            }
        }
        Ok(())
    })
    .await
}

//! A command that is run in a root file system which somebody else has made: a container without a
//! record and without a shim, that ends with this manager. What a crash leaves of it, a start sweeps
//! with other bundles and networks that are nobody's.

mod life;
mod mounts;
mod stubs;

use std::any::Any;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Containers;
use super::bundle::{Bundle, Parts};
use super::config::ContainerConfig;
use super::files;
use super::host_config::HostConfig;
use super::id::ContainerId;
use super::modes::NetworkMode;
use super::options::Output;
use super::record::Container;
use super::remapped::Users;
use super::resources::Resources;
use super::rootfs::Rootfs;
use super::spec::namespaces::NetworkSource;
use super::spec::user::Account;
use super::spec::{self, Inputs, paths};
use super::state::State;
use super::undo::Undo;
use super::work::blocking;
use crate::error::{Error, Result};
use crate::ids::IdMap;
use crate::network::Sandbox;
use life::{Life, Program};
pub(crate) use mounts::{Mounted, Source};
use stubs::Stubs;

/// What is run.
pub(crate) struct Step {
    /// The root of a mount of the root file system, which nothing else is done with meanwhile.
    pub(crate) root: OwnedFd,
    /// The program and its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its variables, in order.
    pub(crate) environment: Vec<String>,
    /// The directory that it runs in.
    pub(crate) directory: String,
    /// `user[:group]`; empty: root.
    pub(crate) user: String,
    /// The host name that it sees.
    pub(crate) hostname: String,
    /// What is mounted in it.
    pub(crate) mounts: Vec<Mounted>,
    /// The network that it is on.
    pub(crate) network: NetworkMode,
    /// Lines for /etc/hosts: `name:address`.
    pub(crate) hosts: Vec<String>,
    /// All capabilities and devices, nothing masked, no seccomp.
    pub(crate) privileged: bool,
    /// What it may use of the machine.
    pub(crate) resources: Resources,
    /// Bytes of its /dev/shm; none: as containers have it.
    pub(crate) shm_size: Option<u64>,
    /// What has to be there until nothing of it is left.
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

impl Containers {
    /// Runs a command to its end; gives its exit code. If this is dropped, the command is killed, and
    /// all that was made for it is taken away.
    ///
    /// # Errors
    /// What is wrong with what is asked; or what the runtime says, if the command can't be run.
    pub(crate) async fn run_step(
        self: &Arc<Self>,
        step: Step,
        output: mpsc::Sender<Output>,
    ) -> Result<i32> {
        let (containers, life) = (Arc::clone(self), Life::default());
        let watched = life.watched();
        let running = tokio::spawn(async move {
            let mut undo = Undo::default();
            let container = containers.container_of(&step);
            let outcome = containers.live(&container, &step, output, watched, &mut undo).await;
            undo.run(container.id.as_str()).await;
            drop(step.keep);
            outcome
        });
        let outcome = running.await;
        drop(life);
        outcome.unwrap_or_else(|error| Err(Error::system(format!("a step died: {error}"))))
    }

    async fn live(
        &self,
        container: &Container,
        step: &Step,
        output: mpsc::Sender<Output>,
        mut watched: life::Watched,
        undo: &mut Undo,
    ) -> Result<i32> {
        let bundle = Bundle::of(&self.config, &container.id);
        let root = step.root.try_clone();
        let root = root.map_err(|error| Error::io("keep a root file system", error))?;
        let users = self.users_for(container)?;
        self.make_step_bundle(&bundle, users.as_ref(), &step.root, undo).await?;
        let held_users = bundle.users();
        let owner = users.is_some().then(|| held_users.clone());
        let (sandbox, account) =
            tokio::join!(self.connect_step(container, owner, undo), account_of(&root, container));
        let (sandbox, account) = (sandbox?, account?);
        let files = self.write_step_files(container, &sandbox, &bundle).await?;
        let (placed, targets) = self.place_mounts(step, users.clone(), &bundle).await?;
        let container = Container { mounts: placed.points.clone(), ..container.clone() };
        let spec = spec::generate(&Inputs {
            container: &container,
            host: &self.facts,
            account: &account,
            cgroup: self.cgroup_of(&container),
            users: users.as_ref().map(|users| (&users.id_map, held_users.as_path())),
            network: match &sandbox.netns {
                Some(path) => NetworkSource::Held(path),
                None => NetworkSource::Host,
            },
            pid_of: None,
            ipc_of: None,
            shared_memory: None,
            limited: false,
            files: &[("/etc/resolv.conf", &files.resolv_conf), ("/etc/hosts", &files.hosts)],
            staged: &placed.staged,
            foreign: &BTreeSet::new(),
            init: None,
        })?;
        let written = bundle.clone();
        let stubs = blocking(move || {
            written.write_spec(&spec)?;
            Stubs::look(root, targets)
        })
        .await?;
        let program = Program { id: &container.id, bundle: &bundle, users: users.as_ref() };
        let code = self.run_program(&program, output, &mut watched).await;
        blocking(move || stubs.clean()).await?;
        code
    }

    /// What the command is as a container.
    fn container_of(&self, step: &Step) -> Container {
        let id = ContainerId::random();
        let (path, arguments) = match step.arguments.split_first() {
            Some((path, arguments)) => (path.clone(), arguments.to_vec()),
            None => (String::new(), Vec::new()),
        };
        let unmasked = step.privileged;
        Container {
            name: id.short().to_owned(),
            created: Timestamp::now(),
            path,
            arguments,
            image_name: String::new(),
            image_id: String::new(),
            config: ContainerConfig {
                hostname: step.hostname.clone(),
                user: step.user.clone(),
                env: step.environment.clone(),
                working_dir: step.directory.clone(),
                ..ContainerConfig::default()
            },
            host: HostConfig {
                network_mode: step.network.clone(),
                extra_hosts: step.hosts.clone(),
                privileged: step.privileged,
                resources: step.resources.clone(),
                shm_size: Some(step.shm_size.unwrap_or_else(|| self.config.live().shm_size)),
                masked_paths: Some(if unmasked { Vec::new() } else { paths::masked() }),
                readonly_paths: Some(if unmasked { Vec::new() } else { paths::read_only() }),
                ..HostConfig::default()
            },
            state: State::Created { failure: None },
            network: None,
            mounts: Vec::new(),
            restart_count: 0,
            stopped_by_user: false,
            frozen_for_commit: false,
            health: None,
            directory: PathBuf::new(),
            log_path: None,
            execs: Vec::new(),
            id,
        }
    }

    /// Who the users of commands are on the host; `None`: the host's own.
    pub(crate) fn step_users(&self) -> Option<&IdMap> {
        self.config.id_map.as_ref()
    }

    /// Makes the bundle, with the root file system in it.
    async fn make_step_bundle(
        &self,
        bundle: &Bundle,
        users: Option<&Users>,
        root: &OwnedFd,
        undo: &mut Undo,
    ) -> Result<()> {
        let (made, gone) = (bundle.clone(), bundle.clone());
        undo.push("take the bundle away", blocking(move || gone.remove()));
        let root = root.try_clone();
        let root = root.map_err(|error| Error::io("keep a root file system", error))?;
        let id_map = users.map(|users| users.id_map.clone());
        blocking(move || {
            made.make(&Parts { id_map, ..Parts::default() })?;
            mounts::put_root(&root, &made.path.join("rootfs"))
        })
        .await
    }

    async fn connect_step(
        &self,
        container: &Container,
        owner: Option<PathBuf>,
        undo: &mut Undo,
    ) -> Result<Sandbox> {
        let connected = self
            .connect_all(container, owner)
            .await
            .map_err(|error| error.while_doing("failed to set up container networking"))?;
        let (networks, id) = (Arc::clone(&self.networks), container.id.to_string());
        undo.push("disconnect from the networks", async move { networks.disconnect(&id).await });
        Ok(connected.sandbox)
    }

    async fn write_step_files(
        &self,
        container: &Container,
        sandbox: &Sandbox,
        bundle: &Bundle,
    ) -> Result<files::Files> {
        let files = files::Files::in_directory(&bundle.path);
        let (config, host) = (Arc::clone(&self.config), self.networks.host_gateways());
        let (container, sandbox) = (container.clone(), sandbox.clone());
        blocking(move || {
            files.write(&container, Some(&sandbox), &[], &host, &config)?;
            Ok(files)
        })
        .await
    }

    /// Mounts what the command sees besides in the bundle, from where the runtime takes it; and says
    /// where the runtime will need places for mounts.
    async fn place_mounts(
        &self,
        step: &Step,
        users: Option<Users>,
        bundle: &Bundle,
    ) -> Result<(mounts::Placed, Vec<stubs::Target>)> {
        let layers = Arc::clone(self.images.snapshots().layers());
        let mounted: Vec<Mounted> = step.mounts.clone();
        let bundle = bundle.clone();
        blocking(move || {
            let placed = mounts::place(&mounted, &bundle, users.as_ref(), &layers)?;
            let mut targets = placed.targets.clone();
            targets.extend(["/etc/resolv.conf", "/etc/hosts"].map(stubs::Target::file));
            Ok((placed, targets))
        })
        .await
    }
}

/// Who runs the command, by the account files in the root.
async fn account_of(root: &OwnedFd, container: &Container) -> Result<Account> {
    let root = root.try_clone().map_err(|error| Error::io("keep a root file system", error))?;
    let accounts = blocking(move || Rootfs::of_root(root).accounts()).await?;
    accounts.resolve(&container.config.user, &container.host.group_add)
}

//! How a new process becomes the first of a container.

use super::channel::{Answer, Channel, Report};
use super::launch::Launch;
use super::namespaces::Namespaces;
use crate::container::hooks::{self, DefaultEnv};
use crate::container::record::{Record, to_json};
use crate::container::status::Status;
use crate::error::{Context, Error, Kind, Result};
use crate::linux::keyring;
use crate::linux::network::raise_loopback;
use crate::linux::system::{end_on_request, exit, set_domain_name};
use crate::process::null;
use crate::process::terminal::Terminal;
use crate::rootfs::procfs::{Procfs, sysctl_path};
use crate::rootfs::{self, RootfsPlan, SourceGiver};
use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Hook;
use rustix::fs::Mode;
use std::collections::HashMap;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The exit status of a container whose program could not be executed.
const NOT_EXECUTED: i32 = 255;

/// What holds the program back until it is to run.
#[derive(Debug)]
pub(crate) enum Gate {
    /// A fifo, for a `start` that comes later from another process.
    Fifo(OwnedFd),
    /// The runtime that made this process, which is still there.
    Maker,
}

/// Hooks that run inside.
#[derive(Debug, Default)]
pub(crate) struct InnerHooks {
    /// After the mounts are made, before the root is switched.
    pub(crate) create_container: Vec<Hook>,
    /// Before the program.
    pub(crate) start_container: Vec<Hook>,
}

/// All that the first process of a container does.
#[derive(Debug)]
pub(crate) struct ContainerPlan<'a> {
    /// The container as its state file has it.
    pub(crate) record: &'a Record,
    /// Its namespaces.
    pub(crate) namespaces: &'a Namespaces,
    /// Its file system.
    pub(crate) rootfs: RootfsPlan<'a>,
    /// The host name.
    pub(crate) hostname: Option<String>,
    /// The NIS domain name.
    pub(crate) domainname: Option<String>,
    /// Kernel settings of its namespaces.
    pub(crate) sysctls: HashMap<String, String>,
    /// A terminal, if the program wants one.
    pub(crate) terminal: Option<Terminal>,
    /// Whether devices of the host come into its network namespace.
    pub(crate) has_net_devices: bool,
    /// Whether hooks of the host run while the root is not switched yet.
    pub(crate) has_host_hooks: bool,
    /// Hooks that run inside.
    pub(crate) hooks: InnerHooks,
    /// The program.
    pub(crate) launch: Launch,
    /// What holds the program back.
    pub(crate) gate: Gate,
}

impl ContainerPlan<'_> {
    /// Becomes the container's first process.
    pub(crate) fn run(&self, channel: &Channel) -> Result<Infallible> {
        channel.step(|| "child process in init()".to_owned());
        self.enter_namespaces()?;
        rustix::process::setsid().context(|| "setsid")?;
        // What is made from here on has the permissions that are asked for.
        rustix::process::umask(Mode::empty());
        self.join_keyring()?;
        if self.namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
            raise_loopback().context(|| "raise the loopback interface")?;
        }
        if self.has_net_devices {
            channel.ask(&Report::NetDevices)?;
        }
        let alone = self.namespaces.new.contains(CloneFlags::CLONE_NEWPID);
        if !alone {
            // Who sees this process may see its streams too.
            null::shield()?;
        }
        let mut built = rootfs::build(&self.rootfs, &Host { channel })?;
        if self.has_host_hooks {
            channel.ask(&Report::Hooks)?;
        }
        // These hooks find the container's files below their working directory.
        rustix::process::fchdir(built.root()).context(|| "chdir to the container's root")?;
        self.run_hooks(
            "createContainer",
            &self.hooks.create_container,
            Status::Creating,
            DefaultEnv::Inherit,
        )?;
        if !null::adopt(built.root())? && alone {
            null::shield()?;
        }
        built.root().make_dir(self.launch.process().cwd(), 0o755)?;
        if let Some(terminal) = &self.terminal {
            let pair = terminal.make(built.root())?;
            pair.mount_console(built.root())?;
            terminal.adopt(pair)?;
        }
        self.set_names()?;
        for (name, value) in &self.sysctls {
            built.procfs()?.write(&sysctl_path(name), value.as_bytes())?;
        }
        let procfs = match self.launch.confinement().is_empty() {
            true => None,
            false => Some(Procfs::new()?),
        };
        built.finish(&self.rootfs)?;
        let settled = self.launch.settle(procfs, &self.kept(channel))?;
        if let Gate::Fifo(_) = self.gate {
            end_on_request().context(|| "prepare for the end")?;
        }
        // Who comes later, such as `exec`, is the same user.
        self.launch.open_to_maker()?;
        self.launch.install_listener(channel)?;
        channel.step(|| "init: closing the pipe to signal completion".to_owned());
        channel.ask(&Report::Ready)?;
        self.wait_for_start()?;
        // These hooks may do what the program may, and no more.
        self.launch.seal()?;
        let env = settled.env();
        self.run_hooks(
            "startContainer",
            &self.hooks.start_container,
            Status::Created,
            DefaultEnv::These(&env),
        )?;
        let Err(error) = self.launch.execute(settled);
        // The runtime may be gone, or has said that the program runs: it is told where the program
        // would have told its own errors.
        let _ = rustix::io::write(rustix::stdio::stderr(), format!("{error}\n").as_bytes());
        exit(NOT_EXECUTED)
    }

    /// What stays open until the program runs.
    fn kept<'a>(&'a self, channel: &'a Channel) -> Vec<BorrowedFd<'a>> {
        match &self.gate {
            Gate::Fifo(fifo) => vec![channel.as_fd(), fifo.as_fd()],
            Gate::Maker => vec![channel.as_fd()],
        }
    }

    /// Enters those namespaces that the process was not made in.
    fn enter_namespaces(&self) -> Result<()> {
        let done = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID;
        for namespace in &self.namespaces.existing {
            if !done.contains(namespace.kind) {
                namespace.join()?;
            }
        }
        if self.namespaces.new.contains(CloneFlags::CLONE_NEWCGROUP) {
            // Only now is the process in the cgroup that the namespace is to start at.
            unshare(CloneFlags::CLONE_NEWCGROUP).context(|| "unshare cgroup")?;
        }
        Ok(())
    }

    /// The caller's session keyring may hold secrets of the host.
    fn join_keyring(&self) -> Result<()> {
        /// KEY_USR_SEARCH.
        const SEARCH_BY_USER: u32 = 0x08_0000;
        /// KEY_OTH_SEARCH: in a user namespace the container's processes are others.
        const SEARCH_BY_OTHERS: u32 = 0x08;
        if !self.record.new_keyring {
            return Ok(());
        }
        if self.launch.confinement().labels_keys() {
            self.launch.confinement().set_on_keys(&Procfs::new()?)?;
        }
        let Some(key) = join_session(&self.record.id)? else { return Ok(()) };
        let search = match self.namespaces.all().contains(CloneFlags::CLONE_NEWUSER) {
            true => SEARCH_BY_OTHERS,
            false => SEARCH_BY_USER,
        };
        keyring::allow(key, search).context(|| "unable to mod keyring permissions")
    }

    fn run_hooks(
        &self,
        point: &str,
        hooks: &[Hook],
        status: Status,
        env: DefaultEnv<'_>,
    ) -> Result<()> {
        if hooks.is_empty() {
            return Ok(());
        }
        let state = to_json(&self.record.oci_state(status, std::process::id())?)?;
        hooks::run(point, hooks, &state, env)
    }

    fn set_names(&self) -> Result<()> {
        if let Some(name) = &self.hostname {
            nix::unistd::sethostname(name).context(|| "sethostname")?;
        }
        if let Some(name) = &self.domainname {
            set_domain_name(name).context(|| "setdomainname")?;
        }
        Ok(())
    }

    fn wait_for_start(&self) -> Result<()> {
        let Gate::Fifo(fifo) = &self.gate else { return Ok(()) };
        let mut byte = [0u8; 1];
        rustix::io::retry_on_intr(|| rustix::io::read(fifo, &mut byte))
            .context(|| "wait for the start")?;
        Ok(())
    }
}

/// Joins the session keyring of the container `id`; `None` where the kernel has no keyrings.
pub(crate) fn join_session(id: &str) -> Result<Option<keyring::Key>> {
    let name = crate::process::env::c_string(&format!("_ses.{id}"), "container id")?;
    match keyring::join_session(&name) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(None),
        Err(error) => Err(Error::system("unable to join session keyring", error)),
    }
}

/// The host's side of the channel, as the file system sees it.
struct Host<'a> {
    channel: &'a Channel,
}

impl SourceGiver for Host<'_> {
    fn mount_source(&self, index: usize) -> Result<OwnedFd> {
        match self.channel.ask(&Report::MountSource { index: index as u32 })? {
            Answer::MountSource(fd) => Ok(fd),
            Answer::Proceed => Err(Error::new(Kind::System, "the runtime sent an unknown answer")),
        }
    }
}

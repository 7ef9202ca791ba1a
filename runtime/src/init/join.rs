//! How a new process joins a container that is there.

use super::channel::{Channel, Report};
use super::container::join_session;
use super::launch::Launch;
use super::namespaces::Namespaces;
use super::spawn::become_root;
use crate::error::{Context, Result};
use crate::process::null;
use crate::process::schedule::apply_affinity;
use crate::process::terminal::Terminal;
use crate::rootfs::attach::open_host;
use crate::rootfs::place::Root;
use crate::rootfs::procfs::Procfs;
use nix::sched::CloneFlags;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::path::Path;

/// All that a further process of a container does.
#[derive(Debug)]
pub(crate) struct JoinPlan<'a> {
    /// The container's id.
    pub(crate) id: &'a str,
    /// Its namespaces.
    pub(crate) namespaces: &'a Namespaces,
    /// Whether it has a session keyring of its own.
    pub(crate) new_keyring: bool,
    /// A terminal, if the program wants one.
    pub(crate) terminal: Option<Terminal>,
    /// The CPUs that the program is to run on.
    pub(crate) affinity: Option<String>,
    /// The program.
    pub(crate) launch: Launch,
}

impl JoinPlan<'_> {
    /// Becomes the program.
    pub(crate) fn run(&self, channel: &Channel) -> Result<Infallible> {
        channel.step(|| "child process in init()".to_owned());
        // Confinement is written to a procfs of the host's making, held from before the container
        // could have a say in it.
        let procfs = match self.launch.confinement().is_empty() {
            true => None,
            false => Some(Procfs::verify(open_host(Path::new("/proc")).context(|| "open /proc")?)?),
        };
        null::shield()?;
        for namespace in &self.namespaces.existing {
            let done = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID;
            if !done.contains(namespace.kind) {
                namespace.join()?;
            }
        }
        if self.namespaces.all().contains(CloneFlags::CLONE_NEWUSER) {
            // Or a terminal would belong to the host's root, whom nobody there is.
            become_root()?;
        }
        rustix::process::setsid().context(|| "setsid")?;
        if self.new_keyring {
            join_session(self.id)?;
        }
        match &self.terminal {
            Some(terminal) => terminal.adopt(terminal.make(open_root()?)?)?,
            None => {
                null::adopt(&open_root()?)?;
            }
        }
        if let Some(cpus) = &self.affinity {
            apply_affinity(cpus)?;
        }
        let settled = self.launch.settle(procfs, &[channel.as_fd()])?;
        self.launch.install_listener(channel)?;
        channel.step(|| "setns_init: about to exec".to_owned());
        channel.ask(&Report::Ready)?;
        self.launch.seal()?;
        self.launch.execute(settled)
    }
}

/// The container's root, which this process is in by now.
fn open_root() -> Result<Root> {
    Ok(Root::new(open_host(Path::new("/")).context(|| "open /")?))
}

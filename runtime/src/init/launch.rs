//! The last steps of every process in a container, up to its program.

use super::channel::{Channel, Report};
use crate::caller::is_root;
use crate::error::{Context, Error, Kind, Result};
use crate::linux::descriptor::{close_all_from, keep_on_exec};
use crate::linux::system::restore_default_signals;
use crate::log::{Level, Log};
use crate::process::capabilities::Capabilities;
use crate::process::lsm::Confinement;
use crate::process::memory::{MemoryPolicy, Personality};
use crate::process::rlimits::{self, OWN};
use crate::process::user::{self, Groups};
use crate::process::{env, schedule, seccomp};
use crate::rootfs::procfs::Procfs;
use oci_spec::runtime::{PosixRlimit, Process};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_no_new_privs,
};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::BorrowedFd;

/// Whose standard streams a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// The container's own, so they are given to its user.
    Container,
    /// Those of whoever called this program, who wants them back as they were.
    Caller,
}

/// A program to run, and how.
#[derive(Debug)]
pub(crate) struct Launch {
    process: Process,
    args: Vec<CString>,
    env: Vec<CString>,
    confinement: Confinement,
    capabilities: Option<Capabilities>,
    seccomp: Option<seccomp::Program>,
    /// The execution domain.
    pub(crate) personality: Option<Personality>,
    /// The NUMA memory policy.
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// Whether supplementary groups can be set.
    pub(crate) groups: Groups,
    /// Whether the process is made by root, of the host or of a user namespace.
    maker_is_root: bool,
    /// Whose the standard streams are.
    pub(crate) streams: Streams,
    /// The CPUs that the container's cgroup is given, if not all.
    pub(crate) cpus: Option<String>,
    /// Resource limits that this process sets itself.
    pub(crate) limits: Vec<PosixRlimit>,
    /// How many descriptors after the standard streams the program inherits.
    pub(crate) preserve_fds: u32,
}

/// A process that is all but its program.
#[derive(Debug)]
pub(crate) struct Settled {
    program: CString,
    env: Vec<CString>,
}

impl Settled {
    /// The program's environment, as text.
    pub(crate) fn env(&self) -> Vec<String> {
        self.env.iter().map(|entry| entry.to_string_lossy().into_owned()).collect()
    }
}

impl Launch {
    /// Understands what `process` wants, under the seccomp filter `seccomp`; what it will not get is
    /// told to `log`.
    pub(crate) fn plan(
        process: Process,
        seccomp: Option<seccomp::Program>,
        log: &Log,
    ) -> Result<Launch> {
        schedule::check(&process)?;
        let args = process.args().iter().flatten();
        let capabilities = process.capabilities().as_ref().map(Capabilities::from_spec);
        for name in capabilities.iter().flat_map(Capabilities::without_grounds) {
            let text = format!("can't raise ambient capability {name}: operation not permitted");
            log.write(Level::Warning, &text);
        }
        Ok(Launch {
            args: args.map(|arg| env::c_string(arg, "argument")).collect::<Result<_>>()?,
            env: env::prepare(process.env().as_deref().unwrap_or_default())?,
            confinement: Confinement::plan(&process)?,
            capabilities,
            process,
            seccomp,
            personality: None,
            memory_policy: None,
            groups: Groups::Set,
            maker_is_root: is_root(),
            streams: Streams::Container,
            cpus: None,
            limits: Vec::new(),
            preserve_fds: 0,
        })
    }

    /// The process as the bundle describes it.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// The security module's confinement.
    pub(crate) fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Adds an entry to the program's environment.
    pub(crate) fn add_env(&mut self, entry: CString) {
        self.env.push(entry);
    }

    /// Everything that can be refused: scheduling, confinement, user, working directory, program.
    ///
    /// From here on this process looks up paths of the container's, which its image and programs
    /// have a hand in. They may lead through /proc/self/fd, so no descriptor of the host's is open
    /// any more by then: only the standard streams, those that are passed on, and `kept`.
    pub(crate) fn settle(
        &self,
        procfs: Option<Procfs>,
        kept: &[BorrowedFd<'_>],
    ) -> Result<Settled> {
        self.schedule()?;
        if self.process.no_new_privileges().unwrap_or(false) {
            set_no_new_privs(true).context(|| "prctl(SET_NO_NEW_PRIVS)")?;
        }
        if let Some(procfs) = procfs {
            self.confinement.set_on_exec(&procfs)?;
        }
        let first = (3 + self.preserve_fds).cast_signed();
        close_all_from(first, kept).context(|| "close the host's descriptors")?;
        // A directory that root may enter and the user may not, or the other way about, is entered
        // by whoever may.
        let entered = self.enter_directory()?;
        if let Some(capabilities) = &self.capabilities {
            capabilities.check().context(|| "unable to apply caps: can't apply capabilities")?;
        }
        match &self.capabilities {
            Some(capabilities) => capabilities.before_change_of_user(),
            None => set_keep_capabilities(true),
        }
        .context(|| "unable to apply bounding set")?;
        if self.streams == Streams::Container || self.process.terminal().unwrap_or(false) {
            let streams =
                [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
            user::own_standard_streams(self.process.user().uid(), &streams)?;
        }
        rlimits::apply(OWN, &self.limits)?;
        user::become_user(self.process.user(), self.groups).context(|| "unable to setup user")?;
        if !entered && !self.enter_directory()? {
            return Err(Error::system(self.directory_error(), rustix::io::Errno::ACCESS));
        }
        verify_directory()?;
        if let Some(capabilities) = &self.capabilities {
            // Whether it may execute its program depends on what the program starts with.
            capabilities.take_effective().context(|| "unable to apply caps")?;
        }
        let mut env = self.env.clone();
        env::add_home(&mut env, self.process.user().uid());
        let name = self.process.args().iter().flatten().next().map(String::as_str);
        let program = env::find_program(name.unwrap_or_default(), &env)?;
        Ok(Settled { program, env })
    }

    fn schedule(&self) -> Result<()> {
        if let Some(scheduler) = self.process.scheduler() {
            schedule::apply_scheduler(scheduler).map_err(|error| self.explain(error))?;
        }
        if let Some(priority) = self.process.io_priority() {
            schedule::apply_io_priority(priority)?;
        }
        if let Some(personality) = &self.personality {
            personality.apply()?;
        }
        if let Some(policy) = &self.memory_policy {
            policy.apply()?;
        }
        let mask = self.process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(mask));
        Ok(())
    }

    /// The kernel gives no time to a deadline scheduler that may not use all CPUs.
    fn explain(&self, error: Error) -> Error {
        match error.errno() {
            Some(libc::EPERM) if self.cpus.is_some() => {
                Error::invalid("process scheduler can't be used together with AllowedCPUs")
            }
            _ => error,
        }
    }

    /// Enters the working directory; `false` if this user may not.
    fn enter_directory(&self) -> Result<bool> {
        match rustix::process::chdir(self.process.cwd()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::ACCESS) => Ok(false),
            Err(errno) => Err(Error::system(self.directory_error(), errno)),
        }
    }

    fn directory_error(&self) -> String {
        let cwd = self.process.cwd().display().to_string();
        format!("chdir to cwd ({cwd:?}) set in config.json failed")
    }

    /// Lets a maker who is a plain user look into this process: it has no privilege by which it could
    /// look into one that is hidden, and needs to for its descriptors and namespaces. Others of that
    /// user may, too, as far as they have this process's capabilities already.
    pub(crate) fn open_to_maker(&self) -> Result<()> {
        if self.maker_is_root {
            return Ok(());
        }
        set_dumpable_behavior(DumpableBehavior::Dumpable).context(|| "prctl(SET_DUMPABLE)")
    }

    /// Installs the seccomp filter now, if somebody waits for its notifications, and lets the
    /// runtime fetch the descriptor that they come by.
    pub(crate) fn install_listener(&self, channel: &Channel) -> Result<()> {
        use std::os::fd::AsRawFd;
        let Some(program) = self.seccomp.as_ref().filter(|one| one.asks_supervisor()) else {
            return Ok(());
        };
        self.open_to_maker()?;
        raise_permitted()?;
        if let Some(listener) = install(program)? {
            channel.ask(&Report::SeccompListener { number: listener.as_raw_fd() })?;
        }
        Ok(())
    }

    /// Does what the program must not be able to undo, in the order that needs the fewest system
    /// calls once the filter is in force.
    pub(crate) fn seal(&self) -> Result<()> {
        for number in 3..3 + self.preserve_fds {
            keep_on_exec(number as i32).context(|| format!("keep descriptor {number} open"))?;
        }
        restore_default_signals();
        nix::sys::signal::SigSet::empty().thread_set_mask().context(|| "unblock all signals")?;
        let filter = self.seccomp.as_ref().filter(|program| !program.asks_supervisor());
        let late = self.process.no_new_privileges().unwrap_or(false);
        if let Some(program) = filter.filter(|_| !late) {
            // The user that the process has become may lack the right; it is dropped just after.
            raise_permitted()?;
            install(program)?;
        }
        if let Some(capabilities) = &self.capabilities {
            // An ambient capability that the other sets do not allow is left out; that was told.
            capabilities.after_change_of_user().context(|| "unable to apply caps")?;
        }
        if let Some(program) = filter.filter(|_| late) {
            install(program)?;
        }
        Ok(())
    }

    /// Turns this process, sealed, into its program.
    pub(crate) fn execute(&self, settled: Settled) -> Result<Infallible> {
        let Err(errno) = nix::unistd::execve(&settled.program, &self.args, &settled.env);
        Err(Error::system(format!("exec {}", settled.program.to_string_lossy()), errno))
    }
}

fn install(program: &seccomp::Program) -> Result<Option<std::os::fd::OwnedFd>> {
    program.install().context(|| "unable to init seccomp")
}

/// Makes all capabilities that this process may have effective.
fn raise_permitted() -> Result<()> {
    let what = || "raise capabilities";
    let sets = capabilities(None).context(what)?;
    set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets }).context(what)
}

/// Makes sure that the working directory lies inside the container's root. The path may have led
/// through /proc/self/fd to a directory of the host.
fn verify_directory() -> Result<()> {
    let breakout = || {
        Error::new(
            Kind::System,
            "current working directory is outside of container mount namespace root -- possible \
             container breakout detected",
        )
    };
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(rustix::io::Errno::NOENT) => Err(breakout()),
        Err(errno) => Err(Error::system("getcwd", errno)),
    }
}

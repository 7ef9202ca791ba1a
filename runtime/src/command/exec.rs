//! `exec`: run one more program in a container.

use super::streams::{self, Stay};
use super::{Global, Outcome};
use crate::cgroup::Below;
use crate::container::Container;
use crate::container::bundle::{check_process, parse_process, read_bounded};
use crate::container::exec::ExecRequest;
use crate::container::foreground::{Foreground, WithTerminal};
use crate::error::{Context, Error, Result};
use crate::init::launch::Streams;
use crate::log::{Level, Log};
use oci_spec::runtime::{Capability, Process};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// execute new process inside the container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of
    /// the console's pseudoterminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the exec process
    #[arg(long)]
    pidfd_socket: Option<PathBuf>,
    /// current working directory in the container
    #[arg(long)]
    cwd: Option<PathBuf>,
    /// set environment variables
    #[arg(long, short)]
    env: Vec<String>,
    /// allocate a pseudo-TTY
    #[arg(long, short)]
    tty: bool,
    /// UID (format: <uid>[:<gid>])
    #[arg(long, short)]
    user: Option<String>,
    /// additional gids
    #[arg(long, short = 'g', allow_negative_numbers = true)]
    additional_gids: Vec<i64>,
    /// path to the process.json
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// specify the file to write the process id to
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// set the asm process label for the process commonly used with selinux
    #[arg(long)]
    process_label: Option<String>,
    /// set the apparmor profile for the process
    #[arg(long)]
    apparmor: Option<String>,
    /// set the no new privileges value for the process
    #[arg(long)]
    no_new_privs: bool,
    /// add a capability to the bounding set for the process
    #[arg(long, short)]
    cap: Vec<String>,
    /// pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>
    #[arg(long)]
    cgroup: Vec<String>,
    /// allow exec in a paused container
    #[arg(long)]
    ignore_paused: bool,
    /// the container's id
    container_id: String,
    /// the command to execute
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// The exit status of an `exec` that ran nothing.
const FAILED: u8 = 255;

pub(super) fn run(global: &Global, arguments: Arguments) -> Outcome {
    match exec(global, arguments).context(|| "exec failed") {
        Ok(status) => Outcome::Done(status as u8),
        Err(error) => Outcome::Failed { error, status: FAILED },
    }
}

fn exec(global: &Global, arguments: Arguments) -> Result<i32> {
    let container = Container::open(&global.root, &arguments.container_id)?;
    let process = arguments.build_process(&container, &global.log)?;
    let stay = match arguments.detach {
        true => Stay::Detached,
        false => Stay::Attached,
    };
    let terminal = process.terminal().unwrap_or(false);
    streams::check_terminal(terminal, stay, arguments.console_socket.as_ref())?;
    streams::check_preserved(arguments.preserve_fds)?;
    let mut request = ExecRequest {
        root: &global.root,
        process,
        below: Below::parse(&arguments.cgroup)?,
        ignore_paused: arguments.ignore_paused,
        preserve_fds: arguments.preserve_fds,
        console: arguments.console_socket.as_deref().map(streams::connect_unix).transpose()?,
        streams: Streams::Container,
        log: &global.log,
    };
    let foreground = match stay {
        Stay::Detached => None,
        Stay::Attached => {
            let (foreground, socket) = Foreground::prepare(match terminal {
                true => WithTerminal::Yes,
                false => WithTerminal::No,
            })?;
            request.console = socket;
            request.streams = Streams::Caller;
            Some(foreground)
        }
    };
    let started = container.exec(request)?;
    if let Some(socket) = &arguments.pidfd_socket {
        streams::send_pidfd(socket, started.pidfd.as_fd(), "setns")?;
    }
    if let Some(file) = &arguments.pid_file {
        streams::write_pid_file(file, started.pid)?;
    }
    match foreground {
        Some(foreground) => foreground.stay(&started, None),
        None => Ok(0),
    }
}

impl Arguments {
    /// The command and its arguments.
    #[cfg(test)]
    pub(super) fn command_line(&self) -> &[String] {
        &self.command
    }

    /// The process to run: from its own file, or else the container's with what the flags change.
    fn build_process(&self, container: &Container, log: &Log) -> Result<Process> {
        if let Some(path) = &self.process {
            let text = read_bounded(path).context(|| format!("open {}", path.display()))?;
            let (process, warnings) = parse_process(&text)?;
            for warning in &warnings {
                log.write(Level::Warning, warning);
            }
            return Ok(process);
        }
        if self.command.is_empty() {
            return Err(Error::invalid("exec args cannot be empty"));
        }
        let spec = container.spec()?;
        let process = spec.process().clone();
        let mut process =
            process.ok_or_else(|| Error::invalid("process property must not be empty"))?;
        process.set_args(Some(self.command.clone())).set_terminal(Some(self.tty));
        let env = process.env().iter().flatten().chain(&self.env).cloned().collect::<Vec<_>>();
        process.set_env(Some(env));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        if self.apparmor.is_some() {
            process.set_apparmor_profile(self.apparmor.clone());
        }
        if self.process_label.is_some() {
            process.set_selinux_label(self.process_label.clone());
        }
        self.set_user(&mut process)?;
        self.add_capabilities(&mut process, log);
        check_process(&process)?;
        Ok(process)
    }

    fn set_user(&self, process: &mut Process) -> Result<()> {
        let mut user = process.user().clone();
        if let Some(text) = &self.user {
            let number = |what: &str, text: &str| {
                text.parse::<u32>().map_err(|_| Error::invalid(format!("bad {what}: {text:?}")))
            };
            let (uid, gid) = match text.split_once(':') {
                Some((uid, gid)) => (uid, Some(number("gid", gid)?)),
                None => (text.as_str(), None),
            };
            user.set_uid(number("uid", uid)?);
            if let Some(gid) = gid {
                user.set_gid(gid);
            }
        }
        if !self.additional_gids.is_empty() {
            let mut gids = user.additional_gids().clone().unwrap_or_default();
            for gid in &self.additional_gids {
                gids.push(u32::try_from(*gid).map_err(|_| {
                    Error::invalid(format!("additional-gids must be a positive number {gid}"))
                })?);
            }
            user.set_additional_gids(Some(gids));
        }
        process.set_user(user);
        Ok(())
    }

    /// Ambient capabilities need inheritable ones, which are not added here.
    fn add_capabilities(&self, process: &mut Process, log: &Log) {
        if self.cap.is_empty() {
            return;
        }
        let mut capabilities = process.capabilities().clone().unwrap_or_default();
        for name in &self.cap {
            let known = name.to_ascii_uppercase().trim_start_matches("CAP_").parse::<Capability>();
            let Ok(capability) = known else {
                let text = format!("ignoring unknown or unavailable capabilities: [{name}]");
                log.write(Level::Warning, &text);
                continue;
            };
            let with = |set: &Option<std::collections::HashSet<Capability>>| {
                let mut set = set.clone().unwrap_or_default();
                set.insert(capability);
                Some(set)
            };
            let bounding = with(capabilities.bounding());
            let effective = with(capabilities.effective());
            let permitted = with(capabilities.permitted());
            capabilities.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
            if capabilities.inheritable().is_some() {
                let ambient = with(capabilities.ambient());
                capabilities.set_ambient(ambient);
            }
        }
        process.set_capabilities(Some(capabilities));
    }
}

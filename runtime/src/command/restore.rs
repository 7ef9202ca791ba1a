//! `restore`: make a container from the files that `checkpoint` wrote.

use super::checkpoint::Common;
use super::streams::{self, Stay};
use super::{Global, remove_ended};
use crate::container::bundle::Bundle;
use crate::container::create::{CreateRequest, Start};
use crate::container::foreground::{Foreground, WithTerminal};
use crate::container::id::ContainerId;
use crate::container::restore::{RestoreRequest, restore};
use crate::error::{Context, Result};
use crate::init::launch::Streams;
use crate::log::Level;
use std::path::PathBuf;

/// restore a container from a previous checkpoint
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of
    /// the console's pseudoterminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// path to the root of the bundle directory, defaults to the current directory
    #[arg(long, short, value_name = "DIRECTORY")]
    bundle: Option<PathBuf>,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// specify the file to write the process id to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// disable the use of the subreaper used to reap reparented processes
    #[arg(long)]
    no_subreaper: bool,
    /// has no effect but a warning: criu always pivots to the root
    #[arg(long)]
    no_pivot: bool,
    /// Specify an LSM profile to be used during restore in the form of TYPE:NAME.
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// Specify an LSM mount context to be used during restore.
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    /// the new container's id
    container_id: String,
}

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<i32> {
    if arguments.no_pivot {
        let text = "--no-pivot has no effect: criu always pivots to the root that it restores";
        global.log.write(Level::Warning, text);
    }
    restore_and_stay(global, arguments)
}

fn restore_and_stay(global: &Global, mut arguments: Arguments) -> Result<i32> {
    let settings = arguments.common.settings()?;
    for path in [&mut arguments.console_socket, &mut arguments.pid_file] {
        *path = streams::absolute(path.take())?;
    }
    let id = ContainerId::parse(&arguments.container_id)?;
    let bundle = Bundle::enter(arguments.bundle.as_deref().unwrap_or(".".as_ref()))?;
    let terminal = bundle.process()?.terminal().unwrap_or(false);
    let stay = match arguments.detach {
        true => Stay::Detached,
        false => Stay::Attached,
    };
    streams::check_terminal(terminal, stay, arguments.console_socket.as_ref())?;
    let (foreground, console) = match stay {
        Stay::Detached => {
            let socket = arguments.console_socket.as_deref();
            (None, socket.map(streams::connect_unix).transpose()?)
        }
        Stay::Attached => {
            let (foreground, socket) = prepare(terminal, arguments.no_subreaper)?;
            (Some(foreground), socket)
        }
    };
    let started = restore(RestoreRequest {
        create: CreateRequest {
            root: &global.root,
            id: id.clone(),
            bundle,
            start: Start::Now,
            systemd_cgroup: global.systemd_cgroup,
            rootless: global.rootless,
            log: &global.log,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            extra_env: Vec::new(),
            supervisor: None,
            console,
            streams: Streams::Caller,
        },
        settings,
        lsm_profile: arguments.lsm_profile.filter(|profile| !profile.is_empty()),
        lsm_mount_context: arguments.lsm_mount_context.filter(|context| !context.is_empty()),
    })?;
    if let Some(file) = &arguments.pid_file {
        streams::write_pid_file(file, started.pid)?;
    }
    match foreground {
        None => Ok(0),
        Some(foreground) => {
            let status = foreground.stay(&started, None);
            remove_ended(global, id.as_str());
            status
        }
    }
}

fn prepare(
    terminal: bool,
    no_subreaper: bool,
) -> Result<(Foreground, Option<std::os::fd::OwnedFd>)> {
    if !no_subreaper {
        // What the container leaves behind when it has no pid namespace is reaped here.
        rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))
            .context(|| "become a subreaper")?;
    }
    Foreground::prepare(match terminal {
        true => WithTerminal::Yes,
        false => WithTerminal::No,
    })
}

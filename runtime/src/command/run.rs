//! `run`: make a container, let its program run and, unless detached, stay until it ends.

use super::create::Common;
use super::streams::{self, Stay};
use super::{Global, failed, remove_ended};
use crate::container::create::{Start, create};
use crate::container::foreground::{Foreground, WithTerminal};
use crate::error::{Context, Result};
use crate::init::launch::Streams;
use crate::log::Level;

/// create and run a container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// do not delete the container after it exits
    #[arg(long)]
    keep: bool,
    /// disable the use of the subreaper used to reap reparented processes
    #[arg(long)]
    no_subreaper: bool,
}

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<i32> {
    let what = failed("run");
    match arguments.detach {
        true => run_detached(global, arguments.common).context(what).map(|()| 0),
        false => run_attached(global, arguments).context(what),
    }
}

fn run_detached(global: &Global, mut common: Common) -> Result<()> {
    common.make_absolute()?;
    let mut request = common.request(global, Start::Now)?;
    let terminal = request.bundle.process()?.terminal().unwrap_or(false);
    streams::check_terminal(terminal, Stay::Detached, common.console_socket.as_ref())?;
    request.console = common.console_socket.as_deref().map(streams::connect_unix).transpose()?;
    let prepared = create(request)?;
    announce(&common, &prepared)?;
    let readiness = prepared.listen()?;
    let started = prepared.start()?;
    if let Some(readiness) = readiness
        && let Err(error) = readiness.wait(&started.pidfd, started.pid, &global.log)
    {
        // The program runs, whoever knows it.
        global.log.write(Level::Warning, &error.to_string());
    }
    Ok(())
}

fn run_attached(global: &Global, arguments: Arguments) -> Result<i32> {
    let mut common = arguments.common;
    common.make_absolute()?;
    let mut request = common.request(global, Start::Now)?;
    let terminal = request.bundle.process()?.terminal().unwrap_or(false);
    streams::check_terminal(terminal, Stay::Attached, common.console_socket.as_ref())?;
    if !arguments.no_subreaper {
        // What the container leaves behind when it has no pid namespace is reaped here.
        rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))
            .context(|| "become a subreaper")?;
    }
    let (foreground, socket) = Foreground::prepare(match terminal {
        true => WithTerminal::Yes,
        false => WithTerminal::No,
    })?;
    request.console = socket;
    request.streams = Streams::Caller;
    let prepared = create(request)?;
    announce(&common, &prepared)?;
    let id = prepared.record().id.clone();
    let readiness = prepared.listen()?;
    let started = prepared.start()?;
    let status = foreground.stay(&started, readiness);
    if !arguments.keep {
        remove_ended(global, &id);
    }
    status
}

/// Tells whoever asked for it which process it is.
fn announce(common: &Common, prepared: &crate::container::create::Prepared) -> Result<()> {
    if let Some(socket) = &common.pidfd_socket {
        streams::send_pidfd(socket, prepared.pidfd()?, "standard")?;
    }
    match &common.pid_file {
        Some(file) => streams::write_pid_file(file, prepared.record().init.pid),
        None => Ok(()),
    }
}

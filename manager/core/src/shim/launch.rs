//! Launching shims and cleaning up after those that died, by containerd's shim protocol.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::process::Command;

use super::address::Address;
use super::task::Shim;
use crate::error::{Error, Kind, Result};
use crate::network::Reservation;

/// What containerd calls the namespace of our containers.
const NAMESPACE: &str = "tare";
/// How long a shim may take to start or to clean up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a clean-up that was killed is begun anew.
const CLEAN_UP_RETRIES: u32 = 3;
/// The first descriptor that a program finds if it is given any (`LISTEN_FDS`).
const FIRST_DESCRIPTOR: i32 = 3;

/// Which shim, for what.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The shim's program.
    pub(crate) program: &'a Path,
    /// The container's id.
    pub(crate) id: &'a str,
    /// The container's bundle.
    pub(crate) bundle: &'a Path,
    /// Where the shim makes its socket.
    pub(crate) sockets: &'a Path,
    /// Sockets that hold the container's published ports for as long as the shim lives.
    pub(crate) reservations: Vec<Reservation>,
}

/// Starts a shim, and keeps its address in the bundle.
pub(crate) async fn launch(launch: Launch<'_>) -> Result<Shim> {
    let Launch { program, id, bundle, sockets, reservations } = launch;
    let mut command = command(program, id, bundle, sockets);
    command.args(["-address", "", "-publish-binary", "", "start"]);
    command.env("LISTEN_FDS", reservations.len().to_string());
    command.env("TARE_RELAYS", relays(&reservations));
    pass(&mut command, reservations.into_iter().map(|reservation| reservation.socket).collect())?;
    let output = run(command, program, "start").await?;
    // The command owns the reservations; they are the shim's alone from here on.
    let address = Address::parse(&String::from_utf8_lossy(&output.stdout))?;
    address.save(bundle)?;
    Ok(Shim::at(id, &address))
}

/// For which of the sockets what comes is to be passed on, and where.
fn relays(reservations: &[Reservation]) -> String {
    let relays = reservations.iter().enumerate().filter_map(|(number, reservation)| {
        reservation.passed_on_to.map(|target| format!("{number}={target}"))
    });
    relays.collect::<Vec<_>>().join(",")
}

/// Gives these descriptors to the program, the first as number 3. Where there are none, it is started
/// without a copy of our memory being made first, which takes longer the more of that there is.
fn pass(command: &mut Command, descriptors: Vec<OwnedFd>) -> Result<()> {
    if descriptors.is_empty() {
        return Ok(());
    }
    let mappings = (FIRST_DESCRIPTOR..).zip(descriptors);
    let mappings =
        mappings.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command
        .as_std_mut()
        .fd_mappings(mappings)
        .map(drop)
        .map_err(|error| Error::system(format!("pass descriptors to the shim: {error}")))
}

/// Lets the shim's program kill and take away what is left of a container whose shim is gone. It
/// is no error if nothing is left.
pub(crate) async fn clean_up(
    program: &Path,
    id: &str,
    bundle: &Path,
    sockets: &Path,
) -> Result<()> {
    let mut cut_off = 0;
    loop {
        let mut command = command(program, id, bundle, sockets);
        command.arg("delete");
        let output = wait(command, program, "delete").await?;
        // Something killed it, such as a machine without memory: what is left is for the next.
        if output.status.signal().is_some() && cut_off < CLEAN_UP_RETRIES {
            cut_off += 1;
            continue;
        }
        return successful(output, program, "delete").map(drop);
    }
}

fn command(program: &Path, id: &str, bundle: &Path, sockets: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-namespace", NAMESPACE, "-id", id])
        // A working directory, too, would take a copy of our memory.
        .arg("-bundle")
        .arg(bundle)
        .env("TARE_SOCKET_DIR", sockets)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(command: Command, program: &Path, action: &str) -> Result<Output> {
    successful(wait(command, program, action).await?, program, action)
}

async fn wait(mut command: Command, program: &Path, action: &str) -> Result<Output> {
    let program = program.display();
    let child = command.spawn().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let advice = if missing { "; install it or give --shim" } else { "" };
        Error::new(Kind::System, format!("failed to start shim: {program}: {error}{advice}"))
    })?;
    tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| {
            let seconds = PATIENCE.as_secs();
            Error::new(
                Kind::Unavailable,
                format!("{program} {action} did not end within {seconds} seconds"),
            )
        })?
        .map_err(|error| Error::io(format!("wait for {program} {action}"), error))
}

fn successful(output: Output, program: &Path, action: &str) -> Result<Output> {
    let program = program.display();
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::system(format!("{program} {action} failed: {}", said.trim())))
}

//! Handing controllers down from the top of the hierarchy to a container's cgroup.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::super::controller::Controller;
use super::super::file;
use crate::error::{Context, Error, Result};

const CONTROLLERS: &str = "cgroup.controllers";
const HAND_DOWN: &str = "cgroup.subtree_control";

/// Makes those of `wanted` available in `directory` that the cgroups above it can give, and returns
/// what there is then. Usually the parent has been set up before, and reading one file is all.
///
/// # Errors
/// The directory is in a threaded part of the hierarchy, which takes no container.
pub(in super::super) fn hand_down(
    mount_point: &Path,
    directory: &Path,
    wanted: Wanted<'_>,
) -> Result<Vec<Controller>> {
    let mut offered = listed(mount_point)?;
    if let Wanted::These(controllers) = wanted {
        offered.retain(|controller| controllers.contains(controller));
    }
    let wanted = offered;
    let mut present = listed(directory)?;
    if wanted.iter().all(|controller| present.contains(controller)) {
        return Ok(present);
    }
    let mut above: Vec<&Path> =
        directory.ancestors().skip(1).take_while(|path| path.starts_with(mount_point)).collect();
    above.reverse();
    for cgroup in above {
        enable(cgroup, &wanted);
    }
    present = listed(directory)?;
    if wanted.iter().any(|controller| !present.contains(controller)) {
        refuse_threads(directory)?;
    }
    Ok(present)
}

/// Which controllers a container is to have.
#[derive(Clone, Copy)]
pub(in super::super) enum Wanted<'a> {
    /// All that the top of the hierarchy has.
    All,
    /// Only these.
    These(&'a [Controller]),
}

/// Hands `controllers` to the children of `cgroup`: all at once if the kernel agrees, else as many
/// as it does. What is missing in the end is noticed by who asks for a limit of it.
///
/// A cgroup with processes in it could still hand down those that count threads, but its children
/// would be no place for a container any more. So it hands down nothing.
fn enable(cgroup: &Path, controllers: &[Controller]) {
    let names: Vec<String> = controllers
        .iter()
        .filter_map(|controller| controller.v2_name())
        .map(|name| format!("+{name}"))
        .collect();
    match file::try_write(cgroup, HAND_DOWN, &names.join(" ")) {
        Ok(()) | Err(Errno::BUSY) => {}
        Err(_) => {
            for name in &names {
                let _ = file::try_write(cgroup, HAND_DOWN, name);
            }
        }
    }
}

/// What the kernel says may be given away with a cgroup (Linux 4.15).
const GIVEN_AWAY: &str = "/sys/kernel/cgroup/delegate";

/// Makes `owner` the owner of `directory` and of the files in it that say what is where, and so lets
/// it make cgroups inside. The limits stay the host's.
pub(super) fn give_to(directory: &Path, owner: u32) -> Result<()> {
    let names = file::read_path(Path::new(GIVEN_AWAY))
        .unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads".to_owned());
    let files = names.lines().filter(|name| !name.contains('/')).map(|name| directory.join(name));
    for path in std::iter::once(directory.to_owned()).chain(files) {
        match std::os::unix::fs::chown(&path, Some(owner), None) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.context(|| format!("chown {} to {owner}", path.display()))?,
        }
    }
    Ok(())
}

/// The controllers that `cgroup` has.
fn listed(cgroup: &Path) -> Result<Vec<Controller>> {
    let text = file::read(cgroup, CONTROLLERS)?;
    Ok(text.split_whitespace().filter_map(Controller::from_v2_name).collect())
}

/// A cgroup below one that is threaded or holds processes of its own is no domain: it gets none of
/// the controllers that count for whole processes, and none can be started into it.
fn refuse_threads(directory: &Path) -> Result<()> {
    let kind = file::read_if_there(directory, "cgroup.type")?;
    let why = match kind.as_deref() {
        None | Some("domain") => return Ok(()),
        Some("domain invalid") => "it is in an invalid state".to_owned(),
        Some(kind) => format!("it is in {kind} mode"),
    };
    Err(Error::state(format!(
        "cannot enter cgroupv2 {:?} with domain controllers -- {why}: a cgroup above it is threaded \
         or holds processes itself; choose another linux.cgroupsPath",
        directory.display().to_string()
    )))
}

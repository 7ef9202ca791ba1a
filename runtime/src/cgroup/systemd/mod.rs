//! Cgroups that systemd makes: a scope unit for each container.
//!
//! systemd owns the tree, so it has to be asked for a place in it, told about limits (it would
//! undo them at its next reload otherwise), and told when the place is free again. Inside the
//! scope, which is delegated to the container, everything is as on any host. On v1 systemd makes
//! the scope in those hierarchies that it uses itself; the others are made beside it.

mod address;
mod annotations;
mod bus;
mod legacy;
mod message;
mod placeholder;
mod properties;
mod settled;
mod unit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use self::bus::Bus;
use self::message::Value;
use self::placeholder::Placeholder;
use self::unit::Scope;
use super::devices::DeviceList;
use super::driver::Stage;
use super::hierarchy::{Hierarchy, Holds};
use super::placement::{Host, Placement};
use super::undo::Setting;
use super::{Request, file};
use crate::error::{Error, Result};

/// How long systemd may take to make a scope or to take it away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose systemd it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Manager {
    /// The host's.
    System,
    /// That of the user who runs this program.
    User,
}

/// A container's scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    name: String,
    manager: Manager,
    host: Host,
}

/// A scope that was just made, around a process that holds the container's place. Dropped, that
/// process ends, and the scope with it if nobody else has come.
pub(super) struct Started {
    /// The scope.
    pub(super) unit: Unit,
    /// Where it is in every hierarchy.
    pub(super) placement: Placement,
    placeholder: Placeholder,
}

impl Started {
    /// Lets the process go on until the container's process is there.
    pub(super) fn leave_when_joined(self) {
        self.placeholder.leave_when_joined();
    }
}

/// Asks systemd for a scope for the container.
///
/// # Errors
/// A `cgroupsPath` that is not `slice:prefix:name`, a plain user on a host with cgroup v1, or
/// systemd's refusal.
pub(super) fn start(request: &Request<'_>, hierarchies: &[Hierarchy]) -> Result<Started> {
    let unified = hierarchies.iter().all(|hierarchy| hierarchy.holds == Holds::V2);
    let host = if unified { Host::Unified } else { Host::Legacy };
    let manager = if request.rootless { Manager::User } else { Manager::System };
    if (manager, host) == (Manager::User, Host::Legacy) {
        return Err(Error::unsupported(
            "cannot use rootless systemd cgroups manager on cgroup v1: a user's systemd has no \
             cgroups there; leave --systemd-cgroup out",
        ));
    }
    let scope = Scope::new(request.cgroups_path, request.container_id, manager)?;
    let asked = annotations::properties(request.annotations)?;
    let mut bus = Bus::connect(manager)?;

    // A scope is made around a process, and the container's does not exist yet.
    let placeholder = Placeholder::start(&scope.unit)?;
    start_unit(&mut bus, &scope, host, placeholder.pid(), &asked)?;
    let inside = placeholder.wait_until_in(&scope.unit, PATIENCE)?;
    let unit = Unit { name: scope.unit, manager, host };
    Ok(Started { unit, placement: Placement::FromTop(inside), placeholder })
}

/// Starts the scope. One of the same name that has failed is in the way until it is reset.
fn start_unit(
    bus: &mut Bus,
    scope: &Scope,
    host: Host,
    pid: u32,
    asked: &[(String, Value)],
) -> Result<()> {
    let io_accounting = match host {
        Host::Unified => "IOAccounting",
        Host::Legacy => "BlockIOAccounting",
    };
    let mut properties = vec![
        ("Description", Value::Text(format!("container {}", scope.container))),
        ("Slice", Value::Text(scope.slice.clone())),
        ("Delegate", Value::Flag(true)),
        ("PIDs", Value::Numbers(vec![pid])),
        ("MemoryAccounting", Value::Flag(true)),
        ("CPUAccounting", Value::Flag(true)),
        (io_accounting, Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
        ("DefaultDependencies", Value::Flag(false)),
    ];
    properties.extend(asked.iter().map(|(name, value)| (name.as_str(), value.clone())));
    match bus.start_transient_unit(&scope.unit, &properties) {
        Err(refusal) if refusal.is("org.freedesktop.systemd1.UnitExists") => {
            let _ = bus.reset_failed_unit(&scope.unit);
            bus.start_transient_unit(&scope.unit, &properties)
        }
        outcome => outcome,
    }
    .map_err(|refusal| refusal.while_doing(&format!("unable to start unit {:?}", scope.unit)))
}

impl Unit {
    /// Tells systemd the limits of `resources`: it would undo at its next reload what it does not
    /// know of. What it does not round as asked for is given back as it has it, for the files.
    ///
    /// # Errors
    /// systemd refuses, or limits make no sense.
    pub(super) fn limit(
        &self,
        directory: &Path,
        resources: &LinuxResources,
        stage: Stage,
    ) -> Result<LinuxResources> {
        // systemd first: it writes what it knows of, and the files get the rest after that.
        match self.host {
            Host::Unified => {
                let settled = settled::settle(directory, resources, stage)?;
                self.set_properties(&properties::of(directory, &settled, stage)?)?;
                Ok(settled)
            }
            Host::Legacy => {
                self.set_properties(&legacy::properties(resources)?)?;
                Ok(legacy::as_systemd_rounds(resources))
            }
        }
    }

    /// Tells systemd which devices may be used. On v2 it is not asked: a program of its own would
    /// be one more to let each use pass.
    ///
    /// # Errors
    /// systemd refuses.
    pub(super) fn allow_devices(&self, devices: &DeviceList) -> Result<()> {
        match self.host {
            Host::Unified => Ok(()),
            Host::Legacy => self.set_properties(&legacy::devices(devices)),
        }
    }

    /// Has the process `pid` moved into the scope, to the cgroup `below`.
    ///
    /// # Errors
    /// systemd refuses.
    pub(super) fn attach(&self, below: &Path, pid: u32) -> Result<()> {
        let place = Path::new("/").join(below);
        let place = place.to_str().unwrap_or("/");
        Bus::connect(self.manager)?.attach_processes_to_unit(&self.name, place, pid).map_err(
            |refusal| refusal.while_doing(&format!("error adding pid {pid} to {:?}", self.name)),
        )
    }

    /// Tells systemd what limits have become otherwise.
    ///
    /// # Errors
    /// systemd refuses.
    pub(super) fn announce(&self, settings: &[Setting]) -> Result<()> {
        let mut properties = Vec::new();
        for setting in settings {
            properties.extend(match self.host {
                Host::Unified => properties::of_file(&setting.name, &setting.text)?,
                Host::Legacy => legacy::of_file(&setting.name, &setting.text)?,
            });
        }
        self.set_properties(&properties)
    }

    fn set_properties(&self, properties: &[(&'static str, Value)]) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        Bus::connect(self.manager)?.set_unit_properties(&self.name, properties).map_err(|refusal| {
            refusal.while_doing(&format!("unable to set properties of {:?}", self.name))
        })
    }

    /// Lets systemd take the scope away, with what is left in it, and waits until the one of
    ///
    /// # Errors
    /// systemd refuses, or does not manage in time.
    pub(super) fn release<'a>(&self, directories: impl Iterator<Item = &'a Path>) -> Result<()> {
        let watched: Option<PathBuf> = self.watched(directories);
        let is_gone = || watched.as_ref().is_some_and(|directory| !directory.exists());
        let mut bus = Bus::connect(self.manager)?;
        if is_gone() {
            // The last process is gone, and systemd has noticed. A scope that it ended, because its
            // time was over for one, is remembered as failed until somebody has seen it.
            let _ = bus.reset_failed_unit(&self.name);
            return Ok(());
        }
        match bus.stop_unit(&self.name) {
            Err(refusal) if !refusal.is("org.freedesktop.systemd1.NoSuchUnit") => {
                return Err(refusal.while_doing(&format!("unable to stop unit {:?}", self.name)));
            }
            Ok(()) | Err(_) => {}
        }
        let gone = file::wait_for(PATIENCE, || Ok((watched.is_none() || is_gone()).then_some(())))?;
        let _ = bus.reset_failed_unit(&self.name);
        gone.ok_or_else(|| {
            Error::state(format!("systemd does not take away the scope {:?}", self.name))
        })
    }

    /// systemd keeps its processes apart in v2 where that is all there is, and otherwise in a v1
    /// hierarchy of that name.
    fn watched<'a>(&self, mut directories: impl Iterator<Item = &'a Path>) -> Option<PathBuf> {
        let is_watched = |directory: &&Path| match self.host {
            Host::Unified => true,
            Host::Legacy => directory.components().any(|part| part.as_os_str() == "systemd"),
        };
        directories.find(is_watched).map(Path::to_owned)
    }
}

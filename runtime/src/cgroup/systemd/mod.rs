//! Cgroups that systemd makes: a scope unit for each container, on hosts with cgroup v2.
//!
//! systemd owns the tree, so it has to be asked for a place in it, told about limits (it would
//! undo them at its next reload otherwise), and told when the place is free again. Inside the
//! scope, which is delegated to the container, everything is as on any v2 host.

mod annotations;
mod bus;
mod message;
mod placeholder;
mod properties;
mod unit;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use self::bus::Bus;
use self::message::Value;
use self::placeholder::Placeholder;
use self::unit::Scope;
use super::controller::Controller;
use super::devices::DeviceList;
use super::driver::{Driver, Stage};
use super::hierarchy::{self, Holds};
use super::stats::Stats;
use super::undo::Setting;
use super::v2::{self, Wanted, hand_down};
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

/// A container's scope and the v2 cgroup that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    unit: String,
    manager: Manager,
    pub(super) cgroup: v2::Group,
}

/// Asks systemd for a scope for the container.
///
/// # Errors
/// A host with v1 hierarchies, a `cgroupsPath` that is not `slice:prefix:name`, or systemd's
/// refusal.
pub(super) fn create(request: &Request<'_>) -> Result<Group> {
    let hierarchies = hierarchy::detect()?;
    let [hierarchy] = hierarchies.as_slice() else { return Err(needs_v2()) };
    if hierarchy.holds != Holds::V2 {
        return Err(needs_v2());
    }
    let manager = if request.rootless { Manager::User } else { Manager::System };
    let scope = Scope::new(request.cgroups_path, request.container_id, manager)?;
    let asked = annotations::properties(request.annotations)?;
    let mut bus = Bus::connect(manager)?;

    // A scope is made around a process, and the container's does not exist yet.
    let placeholder = Placeholder::start()?;
    start(&mut bus, &scope, placeholder.pid(), &asked)?;
    let inside = placeholder.wait_until_in(&scope.unit, PATIENCE)?;
    let mount_point = hierarchy.mount_point.clone();
    let directory = mount_point.join(inside);
    let mut group = Group {
        unit: scope.unit,
        manager,
        cgroup: v2::Group { controllers: Vec::new(), mount_point, directory },
    };
    match hand_down(&group.cgroup.mount_point, &group.cgroup.directory, Wanted::All) {
        Ok(controllers) => group.cgroup.controllers = controllers,
        Err(error) => {
            let _ = group.release();
            return Err(error);
        }
    }
    group.cgroup.controllers.extend([Controller::Devices, Controller::Freezer]);
    placeholder.leave_when_joined();
    Ok(group)
}

fn needs_v2() -> Error {
    Error::unsupported(
        "--systemd-cgroup: this host has cgroup v1 hierarchies, on which cgroups made by systemd \
         are not supported; leave the flag out and give linux.cgroupsPath as a path",
    )
}

/// Starts the scope. One of the same name that has failed is in the way until it is reset.
fn start(bus: &mut Bus, scope: &Scope, pid: u32, asked: &[(String, Value)]) -> Result<()> {
    let mut properties = vec![
        ("Description", Value::Text(format!("container {}", scope.container))),
        ("Slice", Value::Text(scope.slice.clone())),
        ("Delegate", Value::Flag(true)),
        ("PIDs", Value::Numbers(vec![pid])),
        ("MemoryAccounting", Value::Flag(true)),
        ("CPUAccounting", Value::Flag(true)),
        ("IOAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
        ("DefaultDependencies", Value::Flag(false)),
        // A scope whose processes were killed is forgotten like any other.
        ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
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

impl Group {
    fn set_properties(&self, properties: &[(&'static str, Value)]) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        Bus::connect(self.manager)?.set_unit_properties(&self.unit, properties).map_err(|refusal| {
            refusal.while_doing(&format!("unable to set properties of {:?}", self.unit))
        })
    }

    /// The same limits, with the CPU quota that systemd writes for them: with another one in the
    /// file, the limit would depend on who wrote last.
    fn as_systemd_rounds(&self, resources: &LinuxResources) -> Result<LinuxResources> {
        let mut resources = resources.clone();
        let Some(mut cpu) = resources.cpu().clone() else { return Ok(resources) };
        if let Some(bandwidth) = v2::Bandwidth::wanted(self.directory(), &cpu)?
            && let Some(quota) = bandwidth.quota
        {
            let rounded = properties::rounded(quota, bandwidth.period);
            cpu.set_quota(i64::try_from(rounded).ok());
            cpu.set_period(Some(bandwidth.period));
        }
        resources.set_cpu(Some(cpu));
        Ok(resources)
    }

    /// Lets systemd take the scope away, with what is left in it.
    ///
    /// # Errors
    /// systemd refuses, or does not manage in time.
    pub(super) fn release(&self) -> Result<()> {
        if !self.cgroup.directory.exists() {
            // The last process is gone, and systemd has noticed.
            return Ok(());
        }
        let mut bus = Bus::connect(self.manager)?;
        match bus.stop_unit(&self.unit) {
            Err(refusal) if !refusal.is("org.freedesktop.systemd1.NoSuchUnit") => {
                return Err(refusal.while_doing(&format!("unable to stop unit {:?}", self.unit)));
            }
            Ok(()) | Err(_) => {}
        }
        let gone =
            file::wait_for(PATIENCE, || Ok((!self.cgroup.directory.exists()).then_some(())))?;
        let _ = bus.reset_failed_unit(&self.unit);
        gone.ok_or_else(|| {
            Error::state(format!("systemd does not take away the scope {:?}", self.unit))
        })
    }
}

impl Driver for Group {
    fn directory(&self) -> &Path {
        self.cgroup.directory()
    }

    fn has(&self, controller: Controller) -> bool {
        self.cgroup.has(controller)
    }

    fn prepare(&self, stage: Stage) -> Result<()> {
        self.cgroup.prepare(stage)
    }

    fn limit(&self, resources: &LinuxResources, stage: Stage) -> Result<()> {
        // systemd first: it writes what it knows of, and the files get the rest after that.
        let properties = properties::of(self.directory(), resources, stage)?;
        self.set_properties(&properties)?;
        self.cgroup.limit(&self.as_systemd_rounds(resources)?, stage)
    }

    fn settings(&self, controller: Controller) -> &'static [&'static str] {
        self.cgroup.settings(controller)
    }

    fn announce(&self, settings: &[Setting]) -> Result<()> {
        let mut properties = Vec::new();
        for setting in settings {
            properties.extend(properties::of_file(&setting.name, &setting.text)?);
        }
        self.set_properties(&properties)
    }

    fn allow_devices(&self, list: &DeviceList, stage: Stage) -> Result<()> {
        self.cgroup.allow_devices(list, stage)
    }

    fn open(&self) -> Result<OwnedFd> {
        self.cgroup.open()
    }

    fn freeze(&self) -> Result<()> {
        self.cgroup.freeze()
    }

    fn thaw(&self) -> Result<()> {
        self.cgroup.thaw()
    }

    fn is_frozen(&self) -> Result<bool> {
        self.cgroup.is_frozen()
    }

    fn stops_newcomers(&self) -> Result<bool> {
        self.cgroup.stops_newcomers()
    }

    fn measure(&self, stats: &mut Stats) -> Result<()> {
        self.cgroup.measure(stats)
    }
}

//! The cgroups of a container: one directory in each hierarchy of the host, seen as one thing.
//!
//! A host has cgroup v2 alone, or v1 with one hierarchy for each controller, or v1 with a v2
//! hierarchy beside it. [`Cgroup`] hides the difference: it finds the hierarchies, makes the
//! container's directory in each, and hands every option to the [driver](driver::Driver) whose
//! hierarchy carries it out. An option that no hierarchy carries out is an error that names it.
//!
//! What must not happen here: a path that is not below the mount point of a hierarchy is never
//! made, written or removed; a cgroup that has processes in it is never taken over.

mod below;
mod controller;
mod convert;
mod create;
mod demand;
mod devices;
mod driver;
mod entry;
mod file;
#[cfg(test)]
mod fuzz;
mod hierarchy;
mod hugetlb;
mod oom;
mod placement;
mod processes;
mod rdma;
mod remove;
pub(crate) mod stats;
mod systemd;
mod tasks;
#[cfg(test)]
mod tests;
mod undo;
mod v1;
mod v2;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

pub(crate) use self::below::Below;
use self::controller::Controller;
use self::devices::DeviceList;
use self::driver::{Driver, Stage};
pub(crate) use self::entry::Entry;
pub(crate) use self::oom::{Heard, Watch};
use self::stats::Stats;
use self::undo::Before;
pub(crate) use self::view::{Layout, View, Visible};
use crate::error::{Error, Result};

/// What a container asks of cgroups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The container's id: its place where none is given.
    pub(crate) container_id: &'a str,
    /// `linux.cgroupsPath`.
    pub(crate) cgroups_path: Option<&'a str>,
    /// Whether systemd is to make the cgroup (`--systemd-cgroup`).
    pub(crate) systemd: bool,
    /// Whether the caller may lack the right to make cgroups, and a container that asks for no
    /// limits is to run without.
    pub(crate) rootless: bool,
    /// `linux.resources`.
    pub(crate) resources: Option<&'a LinuxResources>,
    /// The container's annotations, of which some are for systemd.
    pub(crate) annotations: &'a BTreeMap<String, String>,
    /// The user on the host that may make cgroups inside the container's own, if anyone may.
    pub(crate) owner: Option<u32>,
}

/// The cgroups of one container, on every hierarchy; kept in the container's state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    groups: Vec<Group>,
    /// The scope that the groups belong to, where systemd has made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<systemd::Unit>,
}

/// The container's cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "version", rename_all = "snake_case")]
enum Group {
    V1(v1::Group),
    V2(v2::Group),
}

impl Group {
    fn driver(&self) -> &dyn Driver {
        match self {
            Group::V1(group) => group,
            Group::V2(group) => group,
        }
    }

    /// The group in the v2 hierarchy, if this is one.
    fn v2(&self) -> Option<&v2::Group> {
        match self {
            Group::V1(_) => None,
            Group::V2(group) => Some(group),
        }
    }
}

impl Cgroup {
    /// Makes the container's cgroups and sets its limits; what was made is undone on failure.
    ///
    /// # Errors
    /// A path or an option that makes no sense, a limit whose controller the host does not have, a
    /// cgroup that other processes are in, or a refusal of the kernel.
    pub(crate) fn create(request: &Request<'_>) -> Result<Cgroup> {
        create::create(request)
    }

    /// Removes the cgroups of a container whose making was cut short, as far as they are there and
    /// have no process.
    ///
    /// # Errors
    /// The hierarchies cannot be found out.
    pub(crate) fn remove_remains(cgroups_path: Option<&str>, container_id: &str) -> Result<()> {
        create::remove_remains(cgroups_path, container_id)
    }

    /// Opens what a process needs to enter the container's cgroups, so that the process itself
    /// needs neither paths nor rights.
    ///
    /// # Errors
    /// A cgroup is gone or cannot be opened.
    pub(crate) fn entry(&self) -> Result<Entry> {
        Entry::open_own(&self.groups, self.unit.as_ref())
    }

    /// The same for a process that joins a running container whose first process is `init`. A v2
    /// cgroup that has handed its controllers to cgroups inside takes no more processes itself;
    /// then the newcomer goes where `init` is.
    ///
    /// # Errors
    /// A cgroup is gone or cannot be opened.
    pub(crate) fn entry_beside(&self, init: u32) -> Result<Entry> {
        Entry::open_beside(&self.groups, self.unit.as_ref(), init)
    }

    /// The same for a process that goes into cgroups which the container has made inside.
    ///
    /// # Errors
    /// A controller is not the container's, or a cgroup is not there.
    pub(crate) fn entry_below(&self, below: &Below) -> Result<Entry> {
        Entry::open(&below.of(&self.groups)?)
    }

    /// Changes limits; what `resources` does not name stays. Device rules replace all earlier ones.
    ///
    /// # Errors
    /// As for [`create`](Cgroup::create). Limits are then what they were before, unless the text says
    /// which are not.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.require_controllers(resources)?;
        let before = Before::read(&self.groups, self.unit.as_ref(), resources);
        self.change(resources).map_err(|error| match before.restore() {
            Ok(()) => error,
            Err(left) => error.context(format!("the update is not taken back whole ({left})")),
        })
    }

    fn change(&self, resources: &LinuxResources) -> Result<()> {
        let limits = self.tell_systemd(resources, Stage::Running)?;
        for group in &self.groups {
            group.driver().limit(&limits, Stage::Running)?;
        }
        match resources.devices() {
            None => Ok(()),
            Some(rules) => {
                let list = DeviceList::of_container(rules)?;
                if let Some(unit) = &self.unit {
                    unit.allow_devices(&list)?;
                }
                self.with(Controller::Devices)?.allow_devices(&list, Stage::Running)
            }
        }
    }

    /// The processes of the container, with those in cgroups of its own making if `recursive`.
    ///
    /// # Errors
    /// A cgroup cannot be read. One that is gone has no processes.
    pub(crate) fn pids(&self, recursive: bool) -> Result<Vec<u32>> {
        processes::pids(self.populated()?, recursive)
    }

    /// Sends `signal` to every process of the container, in cgroups of its own making too.
    ///
    /// # Errors
    /// A process cannot be signalled, or, after SIGKILL, does not go away in time.
    pub(crate) fn kill_all(&self, signal: i32) -> Result<()> {
        processes::kill_all(self, signal)
    }

    /// Stops all processes; returns when they have stopped.
    ///
    /// # Errors
    /// The host has no freezer, or they did not stop within ten seconds; then they go on.
    pub(crate) fn freeze(&self) -> Result<()> {
        if self.is_none() {
            return Err(Error::unsupported(
                "cannot toggle freezer: cgroups not configured for container",
            ));
        }
        self.with(Controller::Freezer)?.freeze()
    }

    /// Lets all processes go on.
    ///
    /// # Errors
    /// The host has no freezer.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.with(Controller::Freezer)?.thaw()
    }

    /// Whether the processes are stopped or on the way to it. Those of a container without a
    /// freezer, or whose cgroup is gone, are not.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn is_frozen(&self) -> Result<bool> {
        match self.with(Controller::Freezer) {
            Ok(freezer) => freezer.is_frozen(),
            Err(_) => Ok(false),
        }
    }

    /// What the container has used.
    ///
    /// # Errors
    /// A cgroup is gone or a file of it cannot be read.
    pub(crate) fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        for group in &self.groups {
            group.driver().measure(&mut stats)?;
        }
        if let [group] = self.groups.as_slice()
            && let Some(group) = group.v2()
        {
            group.measure_without_controllers(&mut stats)?;
        }
        Ok(stats)
    }

    /// Watches for the container running out of memory.
    ///
    /// # Errors
    /// The host does not count memory, or the cgroup is gone.
    pub(crate) fn watch_memory(&self) -> Result<Watch> {
        let has_memory = |group: &&Group| group.driver().has(Controller::Memory);
        match self.groups.iter().find(has_memory) {
            Some(Group::V1(group)) => Watch::v1(&group.directory),
            Some(group) => Watch::v2(group.driver().directory()),
            None => Err(Error::unsupported("the container has no memory cgroup to watch")),
        }
    }

    /// Removes the container's cgroups and those that it made inside. Goes on past a failure, and
    /// waits up to two seconds for processes that are on their way out.
    ///
    /// # Errors
    /// All failures, in one text.
    pub(crate) fn remove(&self) -> Result<()> {
        if let Some(unit) = &self.unit {
            unit.release(self.groups.iter().map(|group| group.driver().directory()))?;
        }
        // What systemd knows nothing of is left: hierarchies, and what the container made inside.
        remove::remove(self.groups.iter().map(|group| group.driver().directory()))
    }

    /// The container's directory in the hierarchy of `controller`, by its v1 or v2 name;
    /// `name=systemd` and, for v2 itself, the empty name are known too.
    pub(crate) fn path_in(&self, controller: &str) -> Option<&Path> {
        let wanted =
            Controller::from_v1_name(controller).or_else(|| Controller::from_v2_name(controller));
        let group = self.groups.iter().find(|group| match (group, wanted) {
            (group, Some(wanted)) => group.driver().has(wanted),
            (Group::V1(group), None) => {
                controller == "name=systemd" && group.controllers.is_empty()
            }
            (Group::V2(_), None) => controller.is_empty(),
        })?;
        Some(group.driver().directory())
    }

    /// What a mount of type `cgroup` inside the container is to show.
    pub(crate) fn view(&self) -> View<'_> {
        view::view(&self.groups)
    }

    /// The cgroups that this process itself is in, on the v1 hierarchies: what a container without
    /// any of its own is in, too.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn of_caller() -> Result<Cgroup> {
        let groups = hierarchy::detect()?.into_iter().filter_map(|hierarchy| {
            let controllers = match hierarchy.holds {
                hierarchy::Holds::V1(controllers) => controllers,
                hierarchy::Holds::Systemd => Vec::new(),
                hierarchy::Holds::V2 => return None,
            };
            let directory = hierarchy.mount_point.join(hierarchy.own);
            let mount_point = hierarchy.mount_point;
            Some(Group::V1(v1::Group { controllers, mount_point, directory }))
        });
        Ok(Cgroup { groups: groups.collect(), unit: None })
    }

    /// Whether there is no cgroup of the container's own: a plain user's may have to do without.
    pub(crate) fn is_none(&self) -> bool {
        self.groups.is_empty()
    }

    /// Tells systemd the limits, where it keeps them in force, and gives them as it rounds them.
    fn tell_systemd<'a>(
        &self,
        resources: &'a LinuxResources,
        stage: Stage,
    ) -> Result<Cow<'a, LinuxResources>> {
        match (&self.unit, self.groups.first()) {
            (Some(unit), Some(group)) => {
                unit.limit(group.driver().directory(), resources, stage).map(Cow::Owned)
            }
            (None, _) | (_, None) => Ok(Cow::Borrowed(resources)),
        }
    }

    /// The hierarchy that carries out `controller`.
    fn with(&self, controller: Controller) -> Result<&dyn Driver> {
        let mut drivers = self.groups.iter().map(Group::driver);
        drivers.find(|driver| driver.has(controller)).ok_or_else(|| {
            Error::unsupported(format!(
                "the container has no {controller} cgroup: mount the controller and create it again"
            ))
        })
    }

    /// A hierarchy that all processes of the container are in: v2 where there is one.
    fn populated(&self) -> Result<&Path> {
        let v2 = self.groups.iter().find(|group| group.v2().is_some());
        let group = v2.or_else(|| self.groups.first()).ok_or_else(|| {
            Error::state(
                "unable to get all container pids: the container has no cgroup to find them by; \
                 run it with one that this user may write to",
            )
        })?;
        Ok(group.driver().directory())
    }

    /// Finds a controller for each option of `resources`.
    fn require_controllers(&self, resources: &LinuxResources) -> Result<()> {
        for demand in demand::demands(resources) {
            let mut drivers = self.groups.iter().map(Group::driver);
            if !drivers.any(|driver| driver.has(demand.controller)) {
                return Err(Error::unsupported(format!(
                    "cannot set {} limit: container could not join or create cgroup: {} needs the \
                     {} controller, which the host lacks or this user may not use",
                    demand.controller, demand.option, demand.controller
                )));
            }
        }
        if self.groups.iter().any(|group| matches!(group, Group::V1(_))) {
            v1::refuse_unified(resources)?;
        }
        Ok(())
    }
}

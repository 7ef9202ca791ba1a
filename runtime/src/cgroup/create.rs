//! Making a container's cgroups, and taking back what was made if that fails.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Access, AtFlags, CWD, Mode};
use rustix::io::Errno;

use super::controller::Controller;
use super::demand::demands;
use super::devices::DeviceList;
use super::driver::{Driver, Stage};
use super::hierarchy::{self, Hierarchy, Holds};
use super::placement::{Host, Placement};
use super::v2::{Wanted, hand_down};
use super::{Cgroup, Group, Request, processes, systemd, v1, v2};
use crate::caller::is_in_user_namespace;
use crate::error::{Error, Kind, Result};

/// How often a directory is tried again whose parent vanishes because another container, which
/// made it too, has just failed and cleaned up.
const RACES_WITH_CLEANERS: u32 = 8;

/// Makes the container's cgroups and sets its limits.
pub(super) fn create(request: &Request<'_>) -> Result<Cgroup> {
    let nothing = LinuxResources::default();
    let resources = request.resources.unwrap_or(&nothing);
    let devices = DeviceList::of_container(resources.devices().as_deref().unwrap_or_default())?;

    let hierarchies = hierarchy::detect()?;
    if request.systemd {
        return create_in_scope(request, hierarchies, resources, &devices);
    }
    let placement = Placement::new(request.cgroups_path, request.container_id)?;
    // A container without a place of its own choosing and without rights runs where it is.
    let place = match request.rootless && request.cgroups_path.is_none_or(str::is_empty) {
        true => Place::IfAllowed(placement),
        false => Place::Given(placement),
    };
    let mut made = Made::default();
    let outcome = make_groups(hierarchies, &place, resources, &mut made)
        .and_then(|groups| limit(groups, None, request, resources, &devices));
    if outcome.is_err() {
        made.undo();
    }
    outcome
}

/// Has systemd make the container's scope, and makes what systemd has not.
fn create_in_scope(
    request: &Request<'_>,
    hierarchies: Vec<Hierarchy>,
    resources: &LinuxResources,
    devices: &DeviceList,
) -> Result<Cgroup> {
    let started = systemd::start(request, &hierarchies)?;
    let unit = started.unit.clone();
    let place = Place::Scope(started.placement.clone());
    let mut made = Made::default();
    let outcome = make_groups(hierarchies, &place, resources, &mut made).and_then(|groups| {
        unit.allow_devices(devices)?;
        limit(groups, Some(unit.clone()), request, resources, devices)
    });
    match outcome {
        Ok(cgroup) => {
            started.leave_when_joined();
            Ok(cgroup)
        }
        Err(error) => {
            drop(started);
            let _ = unit.release(std::iter::empty());
            made.undo();
            Err(error)
        }
    }
}

/// Where the container's directories are made.
enum Place {
    /// Here.
    Given(Placement),
    /// Here, and not at all in a hierarchy that does not let this user.
    IfAllowed(Placement),
    /// In a scope of systemd's, which is there in some hierarchies and not empty.
    Scope(Placement),
}

impl Place {
    fn placement(&self) -> &Placement {
        match self {
            Place::Given(placement) | Place::IfAllowed(placement) | Place::Scope(placement) => {
                placement
            }
        }
    }
}

/// A group and whether its directory is new.
type Fresh = (Group, Stage);

/// Makes the container's directory in every hierarchy.
fn make_groups(
    hierarchies: Vec<Hierarchy>,
    place: &Place,
    resources: &LinuxResources,
    made: &mut Made,
) -> Result<Vec<Fresh>> {
    let host = host_of(&hierarchies);
    let on_v1: Vec<Controller> = hierarchies
        .iter()
        .flat_map(|hierarchy| match &hierarchy.holds {
            Holds::V1(controllers) => controllers.as_slice(),
            Holds::Systemd | Holds::V2 => &[],
        })
        .copied()
        .collect();
    let mut groups = Vec::with_capacity(hierarchies.len());
    for hierarchy in hierarchies {
        let directory = hierarchy.mount_point.join(place.placement().within(&hierarchy, host));
        let optional = matches!(place, Place::IfAllowed(_)) || only_groups(&hierarchy.holds, host);
        let ready = made.make(&directory).and_then(|stage| {
            if stage == Stage::Running {
                require_entry(&directory)?;
            }
            Ok(stage)
        });
        let stage = match ready {
            Ok(stage) => stage,
            Err(error) if optional && is_denial(&error) => continue,
            Err(error) => return Err(error),
        };
        if stage == Stage::Running && !matches!(place, Place::Scope(_)) {
            refuse_occupied(&directory)?;
        }
        let group = match hierarchy.holds {
            Holds::V2 => unify(hierarchy, directory, host, &on_v1, resources)?,
            Holds::V1(_) | Holds::Systemd => separate(hierarchy, directory),
        };
        group.driver().prepare(stage)?;
        refuse_frozen(group.driver())?;
        groups.push((group, stage));
    }
    Ok(groups)
}

/// Whether a hierarchy does no more than keep processes together, beside those of v1 that limit
/// them. A limit that needs it all the same is missed when the limits are set.
fn only_groups(holds: &Holds, host: Host) -> bool {
    match holds {
        Holds::V1(_) => false,
        Holds::Systemd => true,
        Holds::V2 => host == Host::Legacy,
    }
}

fn host_of(hierarchies: &[Hierarchy]) -> Host {
    match hierarchies.iter().any(|hierarchy| hierarchy.holds != Holds::V2) {
        true => Host::Legacy,
        false => Host::Unified,
    }
}

/// Removes the directories that [`create`] makes. What is in use belongs to somebody, and stays;
/// units of systemd's are gone with their last process.
pub(super) fn remove_remains(cgroups_path: Option<&str>, container_id: &str) -> Result<()> {
    let placement = Placement::new(cgroups_path, container_id)?;
    let hierarchies = hierarchy::detect()?;
    let host = host_of(&hierarchies);
    for hierarchy in &hierarchies {
        let directory = hierarchy.mount_point.join(placement.within(hierarchy, host));
        let _ = rustix::fs::rmdir(directory);
    }
    Ok(())
}

/// The container's group in a v1 hierarchy.
fn separate(hierarchy: Hierarchy, directory: PathBuf) -> Group {
    let controllers = match hierarchy.holds {
        Holds::V1(controllers) => controllers,
        Holds::Systemd | Holds::V2 => Vec::new(),
    };
    Group::V1(v1::Group { controllers, mount_point: hierarchy.mount_point, directory })
}

/// What a container is limited and measured by sooner or later, wherever the host has it.
const MAIN: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuset, Controller::Io, Controller::Memory, Controller::Pids];

/// The container's group in the v2 hierarchy. Alone, it gets all controllers; beside v1, of what is
/// not there, the main ones and what is asked for. Most such hosts have nothing but the odd ones on
/// v2, and need not make them for each container.
fn unify(
    hierarchy: Hierarchy,
    directory: PathBuf,
    host: Host,
    on_v1: &[Controller],
    resources: &LinuxResources,
) -> Result<Group> {
    let mount_point = hierarchy.mount_point;
    let mut controllers = match host {
        Host::Unified => hand_down(&mount_point, &directory, Wanted::All)?,
        Host::Legacy => {
            let wanted: Vec<Controller> = demands(resources)
                .iter()
                .map(|demand| demand.controller)
                .chain(MAIN)
                .filter(|controller| controller.v2_name().is_some() && !on_v1.contains(controller))
                .collect();
            hand_down(&mount_point, &directory, Wanted::These(&wanted))?
        }
    };
    // Every v2 cgroup has these, so they are listed nowhere.
    controllers.extend(
        [Controller::Devices, Controller::Freezer]
            .into_iter()
            .filter(|controller| !on_v1.contains(controller)),
    );
    Ok(Group::V2(v2::Group { controllers, mount_point, directory }))
}

/// Sets the limits of all groups, and gives away what the container is to rule itself.
fn limit(
    fresh: Vec<Fresh>,
    unit: Option<systemd::Unit>,
    request: &Request<'_>,
    resources: &LinuxResources,
    devices: &DeviceList,
) -> Result<Cgroup> {
    let (groups, stages): (Vec<Group>, Vec<Stage>) = fresh.into_iter().unzip();
    let cgroup = Cgroup { groups, unit };
    cgroup.require_controllers(resources)?;
    let resources = cgroup.tell_systemd(resources, Stage::New)?;
    for (group, stage) in cgroup.groups.iter().zip(&stages) {
        group.driver().limit(&resources, *stage)?;
    }
    match allow_devices(&cgroup, &stages, devices) {
        // Without the right to say which devices may be used there is none to make nodes either.
        Err(error)
            if is_denial_or_absence(&error) && (request.rootless || is_in_user_namespace()) => {}
        outcome => outcome?,
    }
    // Only a host that has v2 alone hands cgroups down safely.
    if let ([group], Some(owner)) = (cgroup.groups.as_slice(), request.owner)
        && let Some(group) = group.v2()
    {
        group.delegate(owner)?;
    }
    Ok(cgroup)
}

fn allow_devices(cgroup: &Cgroup, stages: &[Stage], devices: &DeviceList) -> Result<()> {
    let mut groups = cgroup.groups.iter().zip(stages);
    match groups.find(|(group, _)| group.driver().has(Controller::Devices)) {
        Some((group, stage)) => group.driver().allow_devices(devices, *stage),
        None => Err(Error::unsupported(
            "no devices cgroup is available: the container could use every device of the host; \
             mount the v1 devices controller or cgroup2",
        )),
    }
}

/// Refuses a directory that was there before, if it is not this user's to put processes into:
/// somebody else's container may have the same name.
fn require_entry(directory: &Path) -> Result<()> {
    let processes = directory.join("cgroup.procs");
    rustix::fs::accessat(CWD, &processes, Access::WRITE_OK, AtFlags::EACCESS).map_err(|errno| {
        let what =
            format!("unable to apply cgroup configuration: write to {}", processes.display());
        Error::system(what, errno)
    })
}

/// Refuses a directory that was there before, if something lives in it.
fn refuse_occupied(directory: &Path) -> Result<()> {
    let count = processes::pids(directory, true)?.len();
    if count == 0 {
        return Ok(());
    }
    Err(Error::state(format!(
        "container's cgroup is not empty: {count} process(es) found in {}",
        directory.display()
    )))
}

/// Refuses a cgroup in which the container's init would be stopped, and its maker wait for ever.
fn refuse_frozen(group: &dyn Driver) -> Result<()> {
    match group.stops_newcomers()? {
        false => Ok(()),
        true => Err(Error::state(format!(
            "container's cgroup unexpectedly frozen: thaw {} or the cgroup above it that is frozen",
            group.directory().display()
        ))),
    }
}

fn is_denial(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

fn is_denial_or_absence(error: &Error) -> bool {
    is_denial(error) || error.kind() == Kind::Unsupported
}

/// The directories that were made, in order.
#[derive(Default)]
struct Made {
    directories: Vec<PathBuf>,
}

impl Made {
    /// Makes `directory` and those above it that are missing; says whether it is new.
    fn make(&mut self, directory: &Path) -> Result<Stage> {
        for _ in 0..RACES_WITH_CLEANERS {
            match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.directories.push(directory.to_owned());
                    return Ok(Stage::New);
                }
                Err(Errno::EXIST) => return Ok(Stage::Running),
                Err(Errno::NOENT) => {
                    let parent =
                        directory.parent().ok_or_else(|| refused(directory, Errno::NOENT))?;
                    self.make(parent)?;
                }
                Err(errno) => return Err(refused(directory, errno)),
            }
        }
        Err(refused(directory, Errno::NOENT))
    }

    /// Removes what was made, the last first. A directory that is in use by now belongs to somebody
    /// else as well and stays.
    fn undo(self) {
        for directory in self.directories.iter().rev() {
            let _ = rustix::fs::rmdir(directory);
        }
    }
}

fn refused(directory: &Path, errno: Errno) -> Error {
    let what = format!("unable to apply cgroup configuration: mkdir {}", directory.display());
    Error::system(what, errno)
}

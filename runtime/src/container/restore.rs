//! Making a container whose processes come out of files.

use super::create::{CreateRequest, Making, Started, make_cgroup};
use super::external::{OUTER_NAMESPACES, load_pipes, outer_mounts};
use super::hooks::{self, DefaultEnv};
use super::identity::Identity;
use super::maker::host_hooks;
use super::plan;
use super::record::{Phase, to_json};
use super::store::StateDir;
use super::validate::validate;
use crate::criu::images::Earlier;
use crate::criu::rpc::{
    CgroupRoot, ExternalMount, Features, InheritedFd, JoinedNamespace, Options, Type,
};
use crate::criu::session::{Event, Session, Start};
use crate::criu::settings::Settings;
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::send_with_fd;
use crate::init::namespaces::{NEWTIME, Namespaces};
use crate::linux::network::raise_loopback;
use crate::rootfs::idmapped::ContainerIds;
use crate::rootfs::plan::MountPlan;
use crate::rootfs::stage::Stage;
use nix::sched::{CloneFlags, setns};
use oci_spec::runtime::Hooks;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What `restore` is asked.
#[derive(Debug)]
pub(crate) struct RestoreRequest<'a> {
    /// The container, as if it were to be created.
    pub(crate) create: CreateRequest<'a>,
    /// What it has in common with a dump.
    pub(crate) settings: Settings,
    /// A security label instead of the one in the checkpoint, as TYPE:NAME.
    pub(crate) lsm_profile: Option<String>,
    /// The security label of mounts, instead of the one in the checkpoint.
    pub(crate) lsm_mount_context: Option<String>,
}

/// The name of criu's log.
const LOG: &str = "restore.log";

/// Makes the container that `request` describes, with the processes of a checkpoint.
pub(crate) fn restore(request: RestoreRequest<'_>) -> Result<Started> {
    let create = &request.create;
    let spec = &create.bundle.spec;
    create.bundle.process()?;
    let rootfs = create.bundle.rootfs()?;
    let linux = plan::linux_of(spec);
    let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
    validate(spec, &linux, &namespaces)?;
    let bundle = &create.bundle.path;
    let mounts = spec.mounts().iter().flatten();
    let mounts: Vec<MountPlan> =
        mounts.map(|mount| MountPlan::parse(mount, bundle, &rootfs)).collect::<Result<_>>()?;
    let annotations: BTreeMap<String, String> =
        spec.annotations().clone().unwrap_or_default().into_iter().collect();
    let place = request.settings.open(Earlier::There, bundle, &annotations, LOG)?;
    let pipes = load_pipes(&place.images)?;

    let dir = StateDir::claim(create.root, &create.id)?;
    let making = make_cgroup(create, &linux, &namespaces, rootfs, dir)?;
    making.dir.save_config(&create.bundle.config)?;

    let mut outer = outer_mounts(&linux, &mounts, &namespaces, &making.record.cgroup)?;
    let mut named = HashSet::new();
    outer.retain(|mount| named.insert(mount.name.clone()));
    let props: Vec<_> = outer.iter().map(|mount| mount.source.clone()).collect();
    // criu has no business with other containers, so their directory is where its stage is set. Its
    // users may have to get there.
    let at = std::fs::canonicalize(create.root).context(|| "find the containers' directory")?;
    let maps = plan::id_maps(&linux);
    let ids = ContainerIds::of(&namespaces, &maps);
    let stage = Stage {
        at: &at,
        rootfs: &making.record.rootfs,
        mounts: &mounts,
        props: &props,
        others: &place.mounts(),
        ids: &ids,
    };
    let (inherited, kept) = outer_namespaces(&namespaces, pipes);
    let entry = making.record.cgroup.entry()?;
    let start =
        Start { namespaces: CloneFlags::CLONE_NEWNS, entry: &entry, kept: &kept, log: create.log };
    let session = Session::start(&start, || stage.set())?;
    session.check_version()?;
    if request.settings.lazy_pages {
        session.check_features(Features { lazy_pages: Some(true), mem_track: None })?;
    }
    let options = Options {
        rst_sibling: Some(true),
        evasive_devices: Some(true),
        root: Some(stage.root().display().to_string()),
        ext_mnt: (0..)
            .zip(&outer)
            .map(|(number, mount)| ExternalMount {
                key: mount.name.clone(),
                val: stage.prop(number).display().to_string(),
            })
            .collect(),
        inherit_fd: inherited,
        join_ns: joined_namespaces(&namespaces)?,
        cg_root: cgroups_of(session.pid())?,
        lsm_profile: request.lsm_profile.clone(),
        lsm_mount_context: request.lsm_mount_context.clone(),
        ..request.settings.options(&place)
    };
    let hooks = spec.hooks().clone().unwrap_or_default();
    let mut maker = Maker {
        making,
        hooks: &hooks,
        own_network: namespaces.new.contains(CloneFlags::CLONE_NEWNET),
        console: create.console.as_ref(),
    };
    session.perform(Type::Restore, options, &place, |event| maker.react(event))?;
    maker.finish()
}

/// What criu's news mean for the container that is being made.
struct Maker<'a> {
    making: Making,
    hooks: &'a Hooks,
    own_network: bool,
    console: Option<&'a OwnedFd>,
}

impl Maker<'_> {
    fn react(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Namespaces(pid) => self.set_up(pid),
            Event::Restored(pid) => self.take(pid),
            Event::Terminal(controller) => {
                let socket = self.console.ok_or_else(|| {
                    Error::invalid("the checkpoint has a terminal, the bundle has none")
                })?;
                send_with_fd(socket, b"orphan-pts-master", Some(controller.as_fd()))
                    .context(|| "send the terminal to the console socket")
            }
            Event::PagesReady => Ok(()),
        }
    }

    /// Sets up what is not restored: the network.
    fn set_up(&mut self, pid: u32) -> Result<()> {
        if self.own_network {
            raise_loopback_of(pid)?;
        }
        for (point, status, list) in host_hooks(self.hooks) {
            let state = to_json(&self.making.record.oci_state(status, pid)?)?;
            hooks::run(point, list, &state, DefaultEnv::Inherit)?;
        }
        Ok(())
    }

    /// Takes the process `pid` as the container's first, before it runs.
    fn take(&mut self, pid: u32) -> Result<()> {
        let process = Pid::from_raw(pid as i32).ok_or_else(gone)?;
        self.making.pidfd =
            Some(pidfd_open(process, PidfdFlags::empty()).context(|| "hold the container's init")?);
        let record = &mut self.making.record;
        record.init = Identity::of(pid)?;
        // criu puts processes into a time namespace where the kernel has them, so that their clocks
        // go on where they stopped. What joins them is to see the same time.
        let time = |whose: &str| std::fs::read_link(format!("/proc/{whose}/ns/time"));
        if time(&pid.to_string()).ok() != time("self").ok() {
            record.namespaces |= NEWTIME.bits();
        }
        record.phase = Phase::Ready;
        self.making.dir.save(record)
    }

    fn finish(mut self) -> Result<Started> {
        let pidfd = self.making.pidfd.as_ref().ok_or_else(gone)?;
        let pidfd = pidfd.try_clone().context(|| "hold the container's init")?;
        self.making.keep = true;
        Ok(Started { pid: self.making.record.init.pid, pidfd })
    }
}

fn gone() -> Error {
    Error::new(Kind::System, "criu has restored no process")
}

/// Raises the loopback interface in the network namespace of the process `pid`. It is up in every
/// container that is created, and criu leaves the network to others.
fn raise_loopback_of(pid: u32) -> Result<()> {
    let what = || "raise the loopback interface";
    let open = |whose: &str| {
        let path = format!("/proc/{whose}/ns/net");
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(what)
    };
    let home = open("self")?;
    setns(open(&pid.to_string())?, CloneFlags::CLONE_NEWNET).context(what)?;
    let raised = raise_loopback().context(what);
    setns(home, CloneFlags::CLONE_NEWNET).context(what)?;
    raised
}

/// What criu gets under a name that the checkpoint knows, and which descriptors it needs for that:
/// namespaces that are there already, and the standard streams, which were pipes.
fn outer_namespaces(
    namespaces: &Namespaces,
    pipes: Vec<(i32, String)>,
) -> (Vec<InheritedFd>, Vec<BorrowedFd<'_>>) {
    let mut inherited: Vec<InheritedFd> =
        pipes.into_iter().map(|(fd, key)| InheritedFd { key, fd }).collect();
    let mut kept = Vec::new();
    for (kind, _, key) in OUTER_NAMESPACES {
        if let Some(existing) = namespaces.existing(kind) {
            let fd = existing.as_fd();
            inherited.push(InheritedFd { key: key.to_owned(), fd: fd.as_raw_fd() });
            kept.push(fd);
        }
    }
    (inherited, kept)
}

/// Namespaces that processes join when they are restored.
fn joined_namespaces(namespaces: &Namespaces) -> Result<Vec<JoinedNamespace>> {
    let is_inherited = |kind| OUTER_NAMESPACES.iter().any(|(inherited, ..)| *inherited == kind);
    let mut joined = Vec::new();
    for existing in namespaces.existing.iter().filter(|existing| !is_inherited(existing.kind)) {
        if existing.kind == CloneFlags::CLONE_NEWCGROUP {
            return Err(Error::unsupported(
                "Do not know how to handle namespace cgroup: criu can't restore into one that is \
                 there already",
            ));
        }
        let ns_file = format!("/proc/{}/fd/{}", std::process::id(), existing.as_fd().as_raw_fd());
        joined.push(JoinedNamespace { ns: existing.name().to_owned(), ns_file });
    }
    Ok(joined)
}

/// The cgroups of the process `pid`, one for each controller.
fn cgroups_of(pid: u32) -> Result<Vec<CgroupRoot>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    Ok(parse_cgroups(&text))
}

fn parse_cgroups(text: &str) -> Vec<CgroupRoot> {
    let mut roots = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        roots.extend(controllers.split(',').map(|controller| CgroupRoot {
            controller: Some(controller.to_owned()),
            path: path.to_owned(),
        }));
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_has_its_root() {
        let roots = parse_cgroups("8:cpu,cpuacct:/a:b\n1:name=systemd:/c\n0::/d\nx\n");
        let found: Vec<(&str, &str)> = roots
            .iter()
            .map(|root| (root.controller.as_deref().unwrap(), root.path.as_str()))
            .collect();
        let expected = [("cpu", "/a:b"), ("cpuacct", "/a:b"), ("name=systemd", "/c"), ("", "/d")];
        assert_eq!(found, expected);
    }
}

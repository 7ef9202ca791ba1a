//! The container's file system: its mounts, its devices, and what of it is hidden.
//!
//! Everything here runs in the container's own mount namespace, while the host's tree is still
//! there. The story is told by [`build`] and [`finish`]; between the two the host's hooks have
//! their turn.

pub(crate) mod attach;
pub(crate) mod cgroups;
pub(crate) mod copyup;
pub(crate) mod devices;
pub(crate) mod idmapped;
pub(crate) mod masks;
mod mounts;
pub(crate) mod on_host;
pub(crate) mod options;
pub(crate) mod pivot;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod procfs;
pub(crate) mod stage;

use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use devices::{Device, Source};
use masks::Masks;
use options::RDONLY;
use pivot::Switch;
use place::Root;
use plan::MountPlan;
use procfs::Procfs;
use rustix::fs::CWD;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What the root filesystem is to be.
#[derive(Debug)]
pub(crate) struct RootfsPlan<'a> {
    /// The root's directory on the host; absolute.
    pub(crate) path: PathBuf,
    /// Whether the container may not write to it.
    pub(crate) read_only: bool,
    /// `rootfsPropagation`.
    pub(crate) propagation: Option<(u64, Depth)>,
    /// The mounts, in order.
    pub(crate) mounts: Vec<MountPlan>,
    /// The device files.
    pub(crate) devices: Vec<Device>,
    /// How device files come to be.
    pub(crate) device_source: Source,
    /// Paths to hide.
    pub(crate) masked: Vec<PathBuf>,
    /// Paths to make read-only.
    pub(crate) read_only_paths: Vec<PathBuf>,
    /// The SELinux label of the mounts.
    pub(crate) label: Option<String>,
    /// How to change to it.
    pub(crate) switch: Switch,
    /// The container's cgroups, for a mount of type `cgroup`.
    pub(crate) cgroup: &'a Cgroup,
    /// Whose cgroups a mount of type `cgroup` shows.
    pub(crate) cgroup_namespace: cgroups::Namespace,
}

/// Whoever can give a mount's source that this process cannot reach or make itself.
pub(crate) trait SourceGiver {
    /// The source tree of the plan's mount number `index`, attached nowhere.
    fn mount_source(&self, index: usize) -> Result<OwnedFd>;
}

/// Where a bundle has the kernel's file systems, parts of which are hidden or read-only.
const KERNEL_PLACES: [&str; 2] = ["/proc", "/sys"];

/// A root filesystem that is built and not entered yet.
#[derive(Debug)]
pub(crate) struct Built {
    root: Root,
    /// The procfs that the container has at /proc, if it has one of its own.
    procfs: Option<Procfs>,
    late_read_only: Vec<OwnedFd>,
    /// What was mounted at /proc and at /sys, by these names.
    kernel: Vec<(PathBuf, Root)>,
}

/// Mounts the root and everything in it.
pub(crate) fn build(plan: &RootfsPlan<'_>, giver: &impl SourceGiver) -> Result<Built> {
    let root = open_root(plan)?;
    let mut built = Built { root, procfs: None, late_read_only: Vec::new(), kernel: Vec::new() };
    for (index, mount) in plan.mounts.iter().enumerate() {
        mounts::make(plan, mount, index, giver, &mut built).context(|| {
            let source = mount.source.as_deref().unwrap_or(Path::new("")).display();
            let place = mount.destination.display();
            format!("error mounting \"{source}\" to rootfs at \"{place}\"")
        })?;
    }
    if !plan.has_foreign_dev() {
        devices::populate(&built.root, &plan.devices, plan.device_source)?;
    }
    Ok(built)
}

/// The root as a mount of this namespace's own.
fn open_root(plan: &RootfsPlan<'_>) -> Result<Root> {
    let what = || format!("error preparing rootfs {}", plan.path.display());
    // The host's own mounts are not this container's to separate.
    if plan.switch != Switch::Chroot {
        pivot::separate(plan.propagation, &plan.path).context(what)?;
    }
    let tree = attach::clone_path(CWD, &plan.path, Depth::Tree).context(what)?;
    let place = attach::open_host(&plan.path).context(what)?;
    attach::attach(&tree, place).context(what)?;
    Ok(Root::new(tree))
}

impl RootfsPlan<'_> {
    /// Whether the bundle brings a /dev from elsewhere, which is left as it is.
    pub(crate) fn has_foreign_dev(&self) -> bool {
        self.mounts.iter().any(|mount| {
            matches!(mount.what, plan::What::Bind(_))
                && mount.destination.components().eq(Path::new("/dev").components())
        })
    }
}

impl Built {
    /// The container's root.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// A procfs for settings: the container's own, or else one that only this process sees.
    pub(crate) fn procfs(&mut self) -> Result<&Procfs> {
        if self.procfs.is_none() {
            self.procfs = Some(Procfs::new()?);
        }
        self.procfs.as_ref().ok_or_else(|| Error::unsupported("no procfs"))
    }

    /// Keeps the mount `made` if it is at one of the places that paths are hidden in.
    fn remember(&mut self, plan: &MountPlan, made: OwnedFd) {
        let place = &plan.destination;
        if KERNEL_PLACES.iter().any(|name| place.components().eq(Path::new(name).components())) {
            self.kernel.push((place.clone(), Root::new(made)));
        }
    }

    /// Opens the place `path` for hiding it; one that is not there needs no hiding.
    ///
    /// What is to be hidden in a procfs or sysfs is looked for in the one that was mounted, not
    /// where its name leads by now: who shares the root may have put another directory there for a
    /// moment, and would have the mount with nothing hidden afterwards.
    fn find(&self, path: &Path) -> Result<Option<OwnedFd>> {
        use std::path::Component;
        let straight = !path.components().any(|part| part == Component::ParentDir);
        let mounted = self.kernel.iter().rev().filter(|_| straight).find_map(|(place, mount)| {
            let below = path.strip_prefix(place).ok()?;
            (!below.as_os_str().is_empty()).then_some((mount, below))
        });
        let (root, below) = mounted.unwrap_or((&self.root, path));
        root.find(below).context(|| format!("look for {}", path.display()))
    }

    /// Takes away what the container may not change or see, and makes the container's root this
    /// process's root. The host's tree is gone afterwards.
    pub(crate) fn finish(self, plan: &RootfsPlan<'_>) -> Result<()> {
        let read_only = || Change { set: RDONLY, ..Change::default() };
        for mount in &self.late_read_only {
            set_attributes(mount, Depth::One, read_only()).context(|| "make a mount read-only")?;
        }
        if plan.read_only {
            set_attributes(&self.root, Depth::One, read_only())
                .context(|| "error setting rootfs as readonly")?;
        }
        for path in &plan.read_only_paths {
            if let Some(place) = self.find(path)? {
                masks::make_read_only(&place, path)?;
            }
        }
        if !plan.masked.is_empty() {
            let mut masks = Masks::new(&self.root, plan.label.as_deref())?;
            for path in &plan.masked {
                if let Some(place) = self.find(path)? {
                    masks.cover(&place, path)?;
                }
            }
        }
        pivot::enter(&self.root, &plan.path, plan.switch)?;
        if let Some((kind, depth)) = plan.propagation
            && !matches!(kind, options::PRIVATE | options::SLAVE)
        {
            set_attributes(&self.root, depth, Change { propagation: kind, ..Change::default() })
                .context(|| "unable to apply root propagation flags")?;
        }
        Ok(())
    }
}

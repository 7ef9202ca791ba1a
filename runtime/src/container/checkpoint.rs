//! Writing a container's processes to files.

use super::Container;
use super::external::{OUTER_NAMESPACES, OuterMount, outer_mounts, save_streams, streams_of};
use super::plan;
use crate::cgroup::Entry;
use crate::criu::images::{Directory, Earlier, neighbour};
use crate::criu::rpc::{ExternalMount, Features, Options, PageServer, Type};
use crate::criu::session::{Event, Session, Start};
use crate::criu::settings::{Settings, Workplace};
use crate::error::{Context, Error, Result};
use crate::init::namespaces::Namespaces;
use crate::log::Log;
use crate::rootfs::place::{Root, file_type};
use crate::rootfs::plan::MountPlan;
use crate::rootfs::stage::Prop;
use nix::sched::CloneFlags;
use rustix::fs::FileType;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// What becomes of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They end, and the container with them.
    Final,
    /// They go on.
    LeaveRunning,
    /// They go on, and only their memory is written; a later dump builds on it.
    Memory,
}

/// What `checkpoint` is asked.
#[derive(Debug)]
pub(crate) struct CheckpointRequest {
    /// What it has in common with a restore.
    pub(crate) settings: Settings,
    /// What becomes of the processes.
    pub(crate) kind: Kind,
    /// The directory of an earlier dump, as seen from that of the images.
    pub(crate) parent: Option<String>,
    /// Who gets the memory's pages: an address and a port.
    pub(crate) page_server: Option<(String, u16)>,
    /// Whether packets on their way are left out.
    pub(crate) tcp_skip_in_flight: bool,
    /// Whether files without a name may be given one for the time being.
    pub(crate) link_remap: bool,
    /// Who is told, by a zero byte, that pages are served now.
    pub(crate) status: Option<OwnedFd>,
}

/// The name of criu's log.
const LOG: &str = "dump.log";

impl Container {
    /// Writes its processes to files. Unless they go on, what is left to do is to remove it.
    pub(crate) fn checkpoint(&self, request: &CheckpointRequest, log: &Log) -> Result<()> {
        // Unless it builds on an earlier dump, there is no link that criu would have to follow.
        let earlier = match request.parent {
            Some(_) => Earlier::New,
            None => Earlier::None,
        };
        let annotations = &self.record.annotations;
        let place = request.settings.open(earlier, &self.record.bundle, annotations, LOG)?;
        let entry = Entry::default();
        let start = Start { namespaces: CloneFlags::empty(), entry: &entry, kept: &[], log };
        let session = Session::start(&start, || Ok(()))?;
        session.check_version()?;
        let memory = request.kind == Kind::Memory;
        if memory || request.settings.lazy_pages {
            session.check_features(Features {
                mem_track: memory.then_some(true),
                lazy_pages: request.settings.lazy_pages.then_some(true),
            })?;
        }
        let mut options = self.dump_options(request, &place)?;
        let mut job = Type::PreDump;
        if !memory {
            job = Type::Dump;
            options.ext_mnt = self.outer_mounts()?;
            save_streams(&place.images, &streams_of(self.record.init.pid)?)?;
        }
        session.perform(job, options, &place, |event| match (event, &request.status) {
            (Event::PagesReady, Some(status)) => {
                rustix::io::write(status, &[0]).context(|| "write to --status-fd").map(drop)
            }
            _ => Ok(()),
        })
    }

    fn dump_options(&self, request: &CheckpointRequest, place: &Workplace) -> Result<Options> {
        // The id still is that of the container's init, and stays so while that is held.
        self.record.init.open()?;
        let freezer = self.record.cgroup.path_in("freezer");
        Ok(Options {
            root: Some(self.record.rootfs.display().to_string()),
            pid: Some(self.record.init.pid as i32),
            leave_running: Some(request.kind != Kind::Final),
            tcp_skip_in_flight: Some(request.tcp_skip_in_flight),
            link_remap: Some(request.link_remap),
            external: self.outer_namespaces()?,
            freeze_cgroup: freezer.map(|path| path.display().to_string()),
            page_server: request.page_server.as_ref().map(|(address, port)| PageServer {
                address: Some(address.clone()),
                port: Some((*port).into()),
            }),
            parent_img: request.parent.clone(),
            track_mem: request.parent.as_ref().map(|_| true),
            ..request.settings.options(place)
        })
    }

    fn outer_namespaces(&self) -> Result<Vec<String>> {
        let spec = self.spec()?;
        let linux = plan::linux_of(&spec);
        let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
        let mut named = Vec::new();
        for (kind, name, key) in OUTER_NAMESPACES {
            if let Some(existing) = namespaces.existing(kind) {
                named.push(format!("{name}[{}]:{key}", existing.inode()?));
            }
        }
        Ok(named)
    }

    /// The mounts whose sources are not the container's, where they are now, and their names.
    fn outer_mounts(&self) -> Result<Vec<ExternalMount>> {
        let spec = self.spec()?;
        let linux = plan::linux_of(&spec);
        let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
        let mounts = spec.mounts().iter().flatten();
        let mounts: Vec<MountPlan> = mounts
            .map(|mount| MountPlan::parse(mount, &self.record.bundle, &self.record.rootfs))
            .collect::<Result<_>>()?;
        let outer = outer_mounts(&linux, &mounts, &namespaces, &self.record.cgroup)?;
        let root = format!("/proc/{}/root", self.record.init.pid);
        let what = || format!("open {root}");
        let root = Root::new(crate::rootfs::attach::open_host(Path::new(&root)).context(what)?);
        let mut named = Vec::new();
        for mount in &outer {
            if let Some(key) = place_now(&root, mount)? {
                named.push(ExternalMount { key, val: mount.name.clone() });
            }
        }
        Ok(named)
    }
}

/// Where the mount is in the container `root`, all links followed. `None` if there is none: of the
/// masked paths only those of files have a source outside.
fn place_now(root: &Root, mount: &OuterMount) -> Result<Option<String>> {
    let Some(place) = root.find(&mount.place)? else { return Ok(None) };
    let what = || format!("look at {}", mount.place.display());
    let is_directory = file_type(&place).context(what)? == FileType::Directory;
    if matches!(mount.source, Prop::Null) && is_directory {
        return Ok(None);
    }
    let now = std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).context(what)?;
    match now.to_str() {
        Some(now) => Ok(Some(now.to_owned())),
        None => Err(Error::invalid(format!("{}: criu takes only UTF-8 paths", now.display()))),
    }
}

/// Makes the directory of the images, and checks that the earlier dump is where it is said to be.
pub(crate) fn prepare_images(images: &Path, parent: Option<&str>) -> Result<()> {
    Directory::make(images)?;
    let Some(parent) = parent else { return Ok(()) };
    if parent.starts_with('/') {
        return Err(Error::invalid("--parent-path must be relative"));
    }
    let path = images.join(parent);
    let metadata = std::fs::metadata(&path)
        .context(|| format!("invalid --parent-path: stat {}", path.display()))?;
    if !metadata.is_dir() {
        let text = format!("invalid --parent-path: {}", path.display());
        return Err(Error::system(text, rustix::io::Errno::NOTDIR));
    }
    // What could not be restored is not to be dumped.
    neighbour(Path::new(parent)).context(|| "invalid --parent-path")?;
    Ok(())
}

//! Device files, and what else programs expect in /dev.

use super::attach::{attach, clone_path};
use super::place::{Root, make_here, open_here, remove_here};
use crate::error::{Context, Error, Kind, Result};
use crate::linux::mount::Depth;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{CWD, FileType, Gid, Mode, Uid, makedev};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A device file to make.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    path: PathBuf,
    kind: FileType,
    number: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Device {
    /// Where it is to be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// How device files come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// They are made.
    Made,
    /// The host's are bound in, since a user namespace may make none.
    Host,
}

/// The devices that every container has: name, major and minor number.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/random", 1, 8),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
];

/// The links that every container has: name and target.
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// The default devices and those of the bundle; where both have a path, the bundle's.
pub(crate) fn plan(asked: &[LinuxDevice]) -> Result<Vec<Device>> {
    let mut devices: Vec<Device> = DEFAULT
        .iter()
        .filter(|(path, ..)| !asked.iter().any(|device| device.path() == Path::new(path)))
        .map(|(path, major, minor)| Device {
            path: PathBuf::from(path),
            kind: FileType::CharacterDevice,
            number: makedev(*major, *minor),
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .collect();
    for device in asked {
        devices.push(understand(device)?);
    }
    Ok(devices)
}

fn understand(device: &LinuxDevice) -> Result<Device> {
    let path = device.path().clone();
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => {
            return Err(Error::invalid(format!("device {} has no type", path.display())));
        }
    };
    let number = match kind {
        FileType::Fifo => 0,
        _ => {
            let part = |number: i64| {
                u32::try_from(number).map_err(|_| {
                    Error::invalid(format!(
                        "device {}: {number} is no device number",
                        path.display()
                    ))
                })
            };
            makedev(part(device.major())?, part(device.minor())?)
        }
    };
    Ok(Device {
        kind,
        number,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        path,
    })
}

/// Fills the container's /dev.
pub(crate) fn populate(root: &Root, devices: &[Device], source: Source) -> Result<()> {
    let mut places = Places { root, last: None };
    for device in devices.iter().filter(|device| device.path != Path::new("/dev/ptmx")) {
        make(&mut places, device, source)
            .context(|| format!("error creating device node {}", device.path.display()))?;
    }
    let links = || LINKS.iter().copied().chain(has_kcore().then_some(("/dev/core", "/proc/kcore")));
    for (path, target) in links() {
        link(&mut places, Path::new(path), target)?;
    }
    let (dev, name) = places.of(Path::new("/dev/ptmx"))?;
    remove_here(dev, name).context(|| "remove /dev/ptmx")?;
    link(&mut places, Path::new("/dev/ptmx"), "pts/ptmx")
}

/// The directories in which files are made. Nearly all are made in the same one, which so is looked
/// for only once.
struct Places<'a> {
    root: &'a Root,
    last: Option<(&'a Path, OwnedFd)>,
}

impl<'a> Places<'a> {
    /// The directory that `path` lies in, made if it is missing, and the last name.
    fn of(&mut self, path: &'a Path) -> Result<(&OwnedFd, &'a OsStr)> {
        let missing = || Error::invalid(format!("{} has no file name", path.display()));
        let (above, name) = path.parent().zip(path.file_name()).ok_or_else(missing)?;
        let held = self.last.take().filter(|(place, _)| *place == above);
        let held = match held {
            Some(held) => held,
            None => (above, self.root.make_dir(above, 0o755)?),
        };
        Ok((&self.last.insert(held).1, name))
    }
}

fn has_kcore() -> bool {
    Path::new("/proc/kcore").exists()
}

fn link<'a>(places: &mut Places<'a>, path: &'a Path, target: &str) -> Result<()> {
    let (dev, name) = places.of(path)?;
    match rustix::fs::symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::system(format!("link {}", path.display()), errno)),
    }
}

fn make<'a>(places: &mut Places<'a>, device: &'a Device, source: Source) -> Result<()> {
    let (parent, name) = places.of(&device.path)?;
    // A pipe is no device: anyone may make one, and the host need not have it.
    let source = if device.kind == FileType::Fifo { Source::Made } else { source };
    match source {
        Source::Host => bind(parent, name, device),
        Source::Made => match make_node(parent, name, device) {
            Err(error) if error.errno() == Some(libc::EPERM) => bind(parent, name, device),
            other => other,
        },
    }
}

/// Makes the node, and makes sure that it is the one that was made before it gets its owner.
fn make_node(parent: &OwnedFd, name: &OsStr, device: &Device) -> Result<()> {
    let mode = Mode::from_raw_mode(device.mode);
    match rustix::fs::mknodat(parent, name, device.kind, mode, device.number) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(Error::system("mknod", errno)),
    }
    let node = open_here(parent, name).context(|| "open the new node")?;
    let stat = rustix::fs::fstat(&node).context(|| "look at the new node")?;
    if FileType::from_raw_mode(stat.st_mode) != device.kind || stat.st_rdev != device.number {
        return Err(Error::new(Kind::System, "the new node was replaced by another file"));
    }
    if (device.uid, device.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        rustix::fs::chownat(&node, c"", Some(uid), Some(gid), flags)
            .context(|| "change its owner")?;
    }
    Ok(())
}

fn bind(parent: &OwnedFd, name: &OsStr, device: &Device) -> Result<()> {
    let place = make_here(parent, name, 0).context(|| "make its place")?;
    let tree = clone_path(CWD, &device.path, Depth::One).context(|| "open the host's")?;
    let stat = rustix::fs::fstat(&tree).context(|| "look at the host's")?;
    if FileType::from_raw_mode(stat.st_mode) != device.kind || stat.st_rdev != device.number {
        return Err(Error::invalid("the host's file of that name is another device"));
    }
    attach(&tree, &place).context(|| "bind the host's")
}

/// Opens the container's own /dev/null as a place, having checked that it is the null device.
///
/// Not the host's: a container's root may change the mode and owner of what it can name, and must
/// never be able to name an inode of the host.
pub(crate) fn open_null(root: &Root) -> Result<OwnedFd> {
    match root.find(Path::new("/dev/null"))? {
        Some(null) if is_null(&null).context(|| "look at /dev/null")? => Ok(null),
        Some(_) => {
            Err(Error::new(Kind::System, "the container's /dev/null is not the null device"))
        }
        None => Err(Error::new(Kind::System, "the container has no /dev/null")),
    }
}

/// Whether the file is the null device.
pub(crate) fn is_null(fd: impl AsFd) -> rustix::io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(1, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceBuilder;

    #[test]
    fn the_bundle_overrides_a_default() {
        let mine = LinuxDeviceBuilder::default()
            .path("/dev/null")
            .typ(LinuxDeviceType::C)
            .major(1)
            .minor(3)
            .file_mode(0o20_600u32)
            .uid(5u32)
            .build()
            .unwrap();
        let devices = plan(&[mine]).unwrap();
        assert_eq!(devices.len(), DEFAULT.len());
        let null = devices.iter().find(|one| one.path == Path::new("/dev/null")).unwrap();
        assert_eq!((null.mode, null.uid), (0o600, 5));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let device = LinuxDeviceBuilder::default()
            .path("/dev/x")
            .typ(LinuxDeviceType::B)
            .major(-1)
            .minor(0)
            .build()
            .unwrap();
        assert!(plan(&[device]).is_err());
    }

    #[test]
    fn only_the_null_device_is_null() {
        let open = |path: &str| Root::new(std::fs::File::open(path).unwrap().into());
        assert!(open_null(&open("/")).is_ok());
        assert!(open_null(&open("/proc")).is_err());
        assert!(!is_null(std::fs::File::open("/dev/zero").unwrap()).unwrap());
    }
}

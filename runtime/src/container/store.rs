//! The directory of all containers, and each container's own directory in it.
//!
//! A container's directory holds `state.json`, which is written last and whole, `config.json` as
//! the container was created from it, and `exec.fifo` as long as the program waits for `start`.

use super::id::ContainerId;
use super::identity::Identity;
use super::record::{Phase, Record, to_json};
use super::status::Status;
use crate::error::{Context, Error, Kind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const GATE: &str = "exec.fifo";

/// The writing end of a fifo that nobody waits at any more.
#[derive(Debug)]
pub(crate) struct OpenGate(OwnedFd);

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl StateDir {
    /// Makes the directory of a new container, and with it claims the id.
    pub(crate) fn claim(root: &Path, id: &ContainerId) -> Result<StateDir> {
        let path = root.join(id.as_str());
        let mode = Mode::from_raw_mode(0o711);
        match rustix::fs::mkdir(&path, mode) {
            Err(Errno::NOENT) => {
                make_root(root)?;
                rustix::fs::mkdir(&path, mode)
            }
            other => other,
        }
        .map_err(|errno| match errno {
            Errno::EXIST => Error::new(Kind::Exists, "container with given ID already exists"),
            other => Error::system(format!("mkdir {}", path.display()), other),
        })?;
        StateDir::open_path(path)
    }

    /// The directory of a container that is there.
    pub(crate) fn open(root: &Path, id: &ContainerId) -> Result<StateDir> {
        StateDir::open_path(root.join(id.as_str()))
    }

    fn open_path(path: PathBuf) -> Result<StateDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => missing(),
            other => Error::system(format!("open {}", path.display()), other),
        })?;
        Ok(StateDir { path, fd })
    }

    /// Waits until no other command is changing this container; held until `self` is dropped or
    /// [`unlock`](StateDir::unlock)ed. Who held it before may have removed the container.
    pub(crate) fn lock(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&self.fd, FlockOperation::LockExclusive))
            .context(|| format!("lock {}", self.path.display()))?;
        match self.is_in_place()? {
            true => Ok(()),
            false => Err(missing()),
        }
    }

    /// Lets other commands change this container.
    pub(crate) fn unlock(&self) -> Result<()> {
        rustix::fs::flock(&self.fd, FlockOperation::Unlock)
            .context(|| format!("unlock {}", self.path.display()))
    }

    /// Whether the directory is still the one that its path leads to: it may have been removed, and
    /// the id be another container's by now.
    fn is_in_place(&self) -> Result<bool> {
        let what = || format!("look at {}", self.path.display());
        let own = rustix::fs::fstat(&self.fd).context(what)?;
        match rustix::fs::lstat(&self.path) {
            Ok(there) => Ok((own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::system(what(), errno)),
        }
    }

    /// Reads what is kept of the container.
    pub(crate) fn load(&self) -> Result<Record> {
        let bytes = self.read(STATE).map_err(|error| match error.errno() {
            Some(libc::ENOENT) => missing(),
            _ => error,
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("{}/{STATE}: {error}", self.path.display())))
    }

    /// Keeps `record`, replacing what was kept before in one step.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let temporary = ".state.json.new";
        self.write(temporary, to_json(record)?.as_bytes())?;
        rustix::fs::renameat_with(&self.fd, temporary, &self.fd, STATE, RenameFlags::empty())
            .context(|| format!("save {}/{STATE}", self.path.display()))
    }

    /// Keeps the bundle's configuration as it is now.
    pub(crate) fn save_config(&self, bytes: &[u8]) -> Result<()> {
        self.write(CONFIG, bytes)
    }

    /// The configuration that the container was created from.
    pub(crate) fn load_config(&self) -> Result<Vec<u8>> {
        self.read(CONFIG)
    }

    /// Makes the fifo that holds the program back, and opens it.
    ///
    /// It is opened for writing too, so that a read waits for a byte and not merely for a writer.
    pub(crate) fn make_gate(&self) -> Result<OwnedFd> {
        let what = || format!("make {}/{GATE}", self.path.display());
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&self.fd, GATE, rustix::fs::FileType::Fifo, mode, 0).context(what)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, GATE, flags, Mode::empty()).context(what)
    }

    /// Lets the program go, and removes the fifo: nobody can do it twice.
    pub(crate) fn open_gate(&self) -> Result<OpenGate> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let gate =
            rustix::fs::openat(&self.fd, GATE, flags, Mode::empty()).map_err(
                |errno| match errno {
                    // No reader: the init that waited is gone.
                    Errno::NXIO => Error::state("cannot start a container that has stopped"),
                    Errno::NOENT => Error::state("cannot start an already running container"),
                    other => Error::system(format!("open {}/{GATE}", self.path.display()), other),
                },
            )?;
        rustix::io::write(&gate, b"0").context(|| "tell the container's init to start")?;
        rustix::fs::unlinkat(&self.fd, GATE, AtFlags::empty())
            .context(|| format!("remove {}/{GATE}", self.path.display()))?;
        Ok(OpenGate(gate))
    }

    /// What the container is doing.
    pub(crate) fn status(&self, record: &Record) -> Result<Status> {
        if record.phase == Phase::Creating && record.init == Identity::NONE {
            return Ok(Status::Creating);
        }
        if !record.init.is_alive() {
            return Ok(Status::Stopped);
        }
        if record.phase == Phase::Creating {
            return Ok(Status::Creating);
        }
        if record.cgroup.is_frozen()? {
            return Ok(Status::Paused);
        }
        // A gate at which nobody waits is one that a `start` was killed at, having opened it.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, GATE, flags, Mode::empty()) {
            Ok(_) => Ok(Status::Created),
            Err(Errno::NOENT | Errno::NXIO) => Ok(Status::Running),
            Err(errno) => {
                Err(Error::system(format!("look at {}/{GATE}", self.path.display()), errno))
            }
        }
    }

    /// Removes the directory and all in it. One that is gone already is no error, and one that has
    /// taken its place is left alone.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.is_in_place()? {
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove {}", self.path.display()), error))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let what = || format!("read {}/{name}", self.path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).context(what)?;
        let mut bytes = Vec::new();
        File::from(fd).read_to_end(&mut bytes).context(what)?;
        Ok(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let what = || format!("write {}/{name}", self.path.display());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let fd = rustix::fs::openat(&self.fd, name, flags, mode).context(what)?;
        File::from(fd).write_all(bytes).context(what)
    }
}

impl OpenGate {
    /// Waits until the init has become the program, or has ended.
    pub(crate) fn wait_for_program(&self) -> Result<()> {
        // The init's end closes then, and it is the last that could read.
        rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&self.0, PollFlags::ERR)], None))
            .context(|| "wait for the program to run")?;
        Ok(())
    }
}

impl AsFd for StateDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The names of all containers' directories under `root`, and who owns each.
pub(crate) fn list(root: &Path) -> Result<Vec<(ContainerId, u32)>> {
    use std::os::unix::fs::MetadataExt;
    let what = || format!("open {}", root.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).context(what)? {
        let entry = entry.context(what)?;
        // One that is removed meanwhile is simply not listed.
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name();
        let Some(Ok(id)) = name.to_str().map(ContainerId::parse) else { continue };
        if metadata.is_dir() {
            found.push((id, metadata.uid()));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    Ok(found)
}

/// Makes the directory of all containers, for its owner alone.
fn make_root(root: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .context(|| format!("mkdir {}", root.display()))?;
    rustix::fs::accessat(CWD, root, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)
        .context(|| format!("write to {}", root.display()))
}

fn missing() -> Error {
    Error::new(Kind::NotFound, "container does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed() -> (tempfile::TempDir, ContainerId, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let id = ContainerId::parse("one").unwrap();
        let dir = StateDir::claim(&root.path().join("below"), &id).unwrap();
        (root, id, dir)
    }

    #[test]
    fn an_id_is_claimed_once() {
        let (root, id, dir) = claimed();
        let again = StateDir::claim(&root.path().join("below"), &id).unwrap_err();
        assert_eq!(again.to_string(), "container with given ID already exists");
        dir.remove().unwrap();
        dir.remove().unwrap();
        let gone = StateDir::open(&root.path().join("below"), &id).unwrap_err();
        assert_eq!(gone.to_string(), "container does not exist");
    }

    #[test]
    fn a_directory_that_was_removed_is_not_taken_for_its_successor() {
        let (root, id, dir) = claimed();
        let root = root.path().join("below");
        dir.lock().unwrap();
        StateDir::open(&root, &id).unwrap().remove().unwrap();
        let successor = StateDir::claim(&root, &id).unwrap();
        successor.lock().unwrap();
        assert_eq!(dir.lock().unwrap_err().to_string(), "container does not exist");
        dir.remove().unwrap();
        successor.unlock().unwrap();
        StateDir::open(&root, &id).unwrap().lock().unwrap();
    }

    #[test]
    fn the_gate_opens_once_and_only_for_a_waiting_init() {
        let (_root, _id, dir) = claimed();
        let waiting = dir.make_gate().unwrap();
        let gate = dir.open_gate().unwrap();
        let mut byte = [0u8; 2];
        assert_eq!(rustix::io::read(&waiting, &mut byte).unwrap(), 1);
        let again = dir.open_gate().unwrap_err();
        assert_eq!(again.to_string(), "cannot start an already running container");
        drop(waiting);
        gate.wait_for_program().unwrap();
        drop(dir.make_gate().unwrap());
        let dead = dir.open_gate().unwrap_err();
        assert_eq!(dead.to_string(), "cannot start a container that has stopped");
    }

    #[test]
    fn a_directory_without_state_is_no_container() {
        let (root, id, dir) = claimed();
        assert_eq!(dir.load().unwrap_err().to_string(), "container does not exist");
        let listed = list(&root.path().join("below")).unwrap();
        assert_eq!(listed.len(), 1);
        StateDir::open(&root.path().join("below"), &id).unwrap().remove().unwrap();
        assert!(list(&root.path().join("below")).unwrap().is_empty());
    }

    #[test]
    fn a_link_is_no_containers_directory() {
        let (root, id, _dir) = claimed();
        let root = root.path().join("below");
        std::os::unix::fs::symlink(id.as_str(), root.join("two")).unwrap();
        let error = StateDir::open(&root, &ContainerId::parse("two").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "container does not exist");
    }
}

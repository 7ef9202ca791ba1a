//! Looking into results: every path is looked up below the result's root, and none leads out of it.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, major, minor, openat2, readlinkat,
    statat,
};
use tare_proto::builds::fsutil::types::Stat as WireStat;
use tare_proto::builds::moby::buildkit::v1::frontend as api;
use tokio::task::spawn_blocking;
use tonic::Status;

use crate::Builder;
use crate::control::connection::MAX_MESSAGE;
use crate::control::failure;
use crate::control::jobs::Outcome;
use crate::error::{Error, Result};

/// The most of a file that fits into one answer.
const MOST: usize = MAX_MESSAGE - (64 << 10);
/// Entries of a directory in one answer.
const MOST_ENTRIES: usize = 50_000;

/// What is in a file, or the part of it that is asked for.
pub(super) async fn read(
    builder: &Builder,
    outcome: Outcome,
    request: api::ReadFileRequest,
) -> Result<Vec<u8>, Status> {
    look(builder, outcome, move |root| {
        let path = &request.file_path;
        let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let failed = |error: std::io::Error| not_read(path, &error);
        if !stat_of(&file, path)?.is_regular() {
            return Err(Error::invalid(format!("read {path}: not a regular file")));
        }
        let mut file = std::fs::File::from(file);
        let range = request.range.unwrap_or_default();
        let offset = u64::try_from(range.offset)
            .map_err(|_| Error::invalid(format!("read {path}: a negative offset")))?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let most = match usize::try_from(range.length) {
            Ok(0) | Err(_) => MOST,
            Ok(length) => length.min(MOST),
        };
        let mut bytes = Vec::new();
        file.by_ref().take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > MOST {
            return Err(Error::invalid(format!("read {path}: more than {MOST} bytes at once")));
        }
        bytes.truncate(most);
        Ok(bytes)
    })
    .await
}

/// What is in a directory.
pub(super) async fn list(
    builder: &Builder,
    outcome: Outcome,
    request: api::ReadDirRequest,
) -> Result<Vec<WireStat>, Status> {
    if !request.include_pattern.is_empty() {
        let what = format!("ReadDir: the pattern {:?}", request.include_pattern);
        return Err(failure::unsupported(&what));
    }
    look(builder, outcome, move |root| {
        let path = &request.dir_path;
        let directory = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let failed = |error: rustix::io::Errno| not_read(path, &error.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned();
            if name.as_bytes() == b"." || name.as_bytes() == b".." {
                continue;
            }
            if entries.len() >= MOST_ENTRIES {
                let text = format!("read {path}: more than {MOST_ENTRIES} entries");
                return Err(Error::invalid(text));
            }
            let stat = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            let link = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    let target = readlinkat(&directory, &name, Vec::new()).map_err(failed)?;
                    target.to_string_lossy().into_owned()
                }
                _ => String::new(),
            };
            entries.push(wire(&name.to_string_lossy(), &stat, link));
        }
        entries.sort_by(|one: &WireStat, other| one.path.cmp(&other.path));
        Ok(entries)
    })
    .await
}

/// What there is at a path; links at its end are not followed.
pub(super) async fn stat(
    builder: &Builder,
    outcome: Outcome,
    path: String,
) -> Result<WireStat, Status> {
    look(builder, outcome, move |root| {
        let file = open(root, &path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let Stated(stat) = stat_of(&file, &path)?;
        let link = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = readlinkat(&file, c"", Vec::new());
                let target = target.map_err(|error| not_read(&path, &error.into()))?;
                target.to_string_lossy().into_owned()
            }
            _ => String::new(),
        };
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
        Ok(wire(&name, &stat, link))
    })
    .await
}

/// Looks into what was built.
async fn look<T: Send + 'static>(
    builder: &Builder,
    outcome: Outcome,
    looking: impl FnOnce(&OwnedFd) -> Result<T> + Send + 'static,
) -> Result<T, Status> {
    let looked = async {
        let part = outcome.part().ok_or_else(|| Error::not_found("the result is empty"))?;
        let look = builder.engine.builds.look(&part.stack).await?;
        let looked = spawn_blocking(move || looking(&look.root()?));
        looked.await.unwrap_or_else(|error| Err(Error::system(error.to_string())))
    };
    looked.await.map_err(|error| failure::status(&error))
}

fn open(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let path_in = Path::new(path.trim_start_matches('/'));
    let path_in = if path_in.as_os_str().is_empty() { Path::new(".") } else { path_in };
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path_in, flags | OFlags::CLOEXEC, Mode::empty(), inside).map_err(|error| {
        let error = std::io::Error::from(error);
        match error.kind() {
            ErrorKind::NotFound => {
                Error::not_found(format!("open {path}: no such file or directory"))
            }
            _ => not_read(path, &error),
        }
    })
}

fn not_read(path: &str, error: &std::io::Error) -> Error {
    Error::system(format!("read {path}: {error}"))
}

/// What is known of a file.
struct Stated(Stat);

impl Stated {
    fn is_regular(&self) -> bool {
        FileType::from_raw_mode(self.0.st_mode) == FileType::RegularFile
    }
}

fn stat_of(file: &OwnedFd, path: &str) -> Result<Stated> {
    let stat = statat(file.as_fd(), c"", AtFlags::EMPTY_PATH);
    stat.map(Stated).map_err(|error| not_read(path, &error.into()))
}

fn wire(name: &str, stat: &Stat, link: String) -> WireStat {
    let device = matches!(
        FileType::from_raw_mode(stat.st_mode),
        FileType::BlockDevice | FileType::CharacterDevice
    );
    let size = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => stat.st_size,
        _ => 0,
    };
    WireStat {
        path: name.as_bytes().to_vec(),
        mode: go_mode(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size,
        mod_time: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanoseconds(stat)),
        linkname: link.into_bytes(),
        devmajor: if device { i64::from(major(stat.st_rdev)) } else { 0 },
        devminor: if device { i64::from(minor(stat.st_rdev)) } else { 0 },
        ..WireStat::default()
    }
}

fn nanoseconds(stat: &Stat) -> i64 {
    i64::try_from(stat.st_mtime_nsec).unwrap_or_default()
}

/// A mode as Go has it: what kind of file it is, in bits of its own.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::RegularFile | FileType::Unknown => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go);
    kind | mode & 0o777 | special.sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(go_mode(0o104_755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o020_600), 1 << 26 | 1 << 21 | 0o600);
    }

    #[test]
    fn no_path_leads_out() {
        let scratch = tempfile::tempdir().unwrap();
        let inside = scratch.path().join("root");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(scratch.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("/secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("up")).unwrap();
        let root = OwnedFd::from(std::fs::File::open(&inside).unwrap());
        for path in ["../secret", "/../secret", "link", "up", "a/../../secret"] {
            assert!(open(&root, path, OFlags::RDONLY).is_err(), "{path}");
        }
        std::fs::write(inside.join("secret"), "mine").unwrap();
        let file = open(&root, "link", OFlags::RDONLY).unwrap();
        assert!(stat_of(&file, "link").unwrap().is_regular());
    }
}

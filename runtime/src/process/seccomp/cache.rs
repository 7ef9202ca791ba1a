//! Compiled filters in files.
//!
//! A wrong file here would be a hole in every container that uses it. So the directory and each
//! file have to belong to this user and be writable to nobody else, and a file names the profile it
//! is for and carries a hash over all of it. Whatever does not hold is as good as absent.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libseccomp::{ScmpArch, ScmpVersion};
use oci_spec::runtime::LinuxSeccomp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{LONGEST, Program, filter};

/// What a file starts with. The last byte is the version of its format and of the way that filters
/// are made: raise it when either changes.
const MAGIC: [u8; 8] = *b"tarebpf\x01";

/// Magic, flags and hash.
const HEADER: usize = MAGIC.len() + size_of::<u32>() + HASH;
const HASH: usize = 32;

/// How many filters are kept. A host has a handful of profiles; one that has more starts over.
const MOST_FILES: usize = 256;

/// The place of one profile's filter.
pub(super) struct Cache {
    directory: OwnedFd,
    /// A hash of all that the filter depends on.
    key: [u8; HASH],
    name: String,
}

impl Cache {
    /// Opens `directory`, making it if it is missing; nothing if it cannot be trusted.
    pub(super) fn open(directory: &Path, profile: &LinuxSeccomp) -> Option<Cache> {
        let key = key(profile)?;
        let directory = trusted_directory(directory)?;
        Some(Cache { directory, key, name: format!("{}.bpf", hex::encode(key)) })
    }

    /// The filter, if there is a file with it that can be trusted.
    pub(super) fn load(&self) -> Option<Program> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let longest = HEADER + LONGEST * 8;
        let fits = usize::try_from(stat.st_size).is_ok_and(|size| size <= longest);
        if !fits || !is_ours(&stat, FileType::RegularFile) {
            return None;
        }
        let mut bytes = Vec::with_capacity(longest);
        File::from(file).take(longest as u64).read_to_end(&mut bytes).ok()?;
        self.decode(&bytes)
    }

    /// Keeps the filter. It is written under another name and renamed when it is whole, so no
    /// reader ever meets half of it; after a power cut the hash tells. Failures are no matter: the
    /// next time compiles again.
    pub(super) fn store(&self, program: &Program) {
        self.make_room();
        let draft = format!("{}.{}.new", self.name, std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let Ok(file) = rustix::fs::openat(&self.directory, &draft, flags, mode) else { return };
        let written = File::from(file).write_all(&self.encode(program)).is_ok();
        let kept = written
            && rustix::fs::renameat(&self.directory, &draft, &self.directory, &self.name).is_ok();
        if !kept {
            let _ = rustix::fs::unlinkat(&self.directory, &draft, AtFlags::empty());
        }
    }

    fn encode(&self, program: &Program) -> Vec<u8> {
        let body = filter::bytes(&program.instructions);
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        bytes.extend(program.flags.to_le_bytes());
        bytes.extend(self.seal(program.flags, &body));
        bytes.extend(body);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Option<Program> {
        let bytes = bytes.strip_prefix(&MAGIC)?;
        let (flags, bytes) = bytes.split_first_chunk::<4>()?;
        let (seal, body) = bytes.split_first_chunk::<HASH>()?;
        let flags = u32::from_le_bytes(*flags);
        if *seal != self.seal(flags, body) || body.is_empty() {
            return None;
        }
        Some(Program { instructions: filter::parse(body)?, flags })
    }

    /// A hash over the profile and everything in the file.
    fn seal(&self, flags: u32, body: &[u8]) -> [u8; HASH] {
        let hash = Sha256::new().chain_update(MAGIC).chain_update(self.key);
        hash.chain_update(flags.to_le_bytes()).chain_update(body).finalize().into()
    }

    /// Empties a directory that has grown too full, drafts of processes that died included.
    fn make_room(&self) {
        let Ok(entries) = rustix::fs::Dir::read_from(&self.directory) else { return };
        let names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_owned())
            .filter(|name| !name.to_bytes().starts_with(b"."))
            .collect();
        if names.len() >= MOST_FILES {
            for name in names {
                let _ = rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty());
            }
        }
    }
}

/// The profile, and what else decides how its filter looks.
fn key(profile: &LinuxSeccomp) -> Option<[u8; HASH]> {
    let version = ScmpVersion::current().ok()?;
    let hash = Sha256::new()
        .chain_update(MAGIC)
        .chain_update(format!("{version} {:?}\n", ScmpArch::native()))
        .chain_update(serde_json::to_vec(profile).ok()?);
    Some(hash.finalize().into())
}

fn trusted_directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty());
    let directory = match open() {
        Err(Errno::NOENT) => {
            // Another process may make it at the same time; opening decides.
            let _ = rustix::fs::mkdir(path, Mode::RWXU);
            open()
        }
        other => other,
    };
    let directory = directory.ok()?;
    let stat = rustix::fs::fstat(directory.as_fd()).ok()?;
    is_ours(&stat, FileType::Directory).then_some(directory)
}

/// Whether only this user can have written it.
fn is_ours(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && !Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::process::seccomp::compile;

    const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]}"#;

    struct Fixture {
        _root: tempfile::TempDir,
        directory: PathBuf,
        profile: LinuxSeccomp,
        program: Program,
    }

    impl Fixture {
        fn new() -> Fixture {
            let root = tempfile::tempdir().unwrap();
            let directory = root.path().join("seccomp");
            let profile = serde_json::from_str(PROFILE).unwrap();
            let program = compile(&profile).unwrap();
            Fixture { _root: root, directory, profile, program }
        }

        fn cache(&self) -> Option<Cache> {
            Cache::open(&self.directory, &self.profile)
        }

        fn file(&self) -> PathBuf {
            self.directory.join(&self.cache().unwrap().name)
        }
    }

    #[test]
    fn what_is_kept_comes_back() {
        let fixture = Fixture::new();
        let cache = fixture.cache().unwrap();
        assert_eq!(cache.load(), None);
        cache.store(&fixture.program);
        assert_eq!(cache.load(), Some(fixture.program.clone()));
        assert_eq!(fixture.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fixture.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = serde_json::from_str(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        assert_eq!(Cache::open(&fixture.directory, &other).unwrap().load(), None);
    }

    #[test]
    fn a_torn_or_changed_file_is_not_believed() {
        let fixture = Fixture::new();
        let cache = fixture.cache().unwrap();
        cache.store(&fixture.program);
        let whole = std::fs::read(fixture.file()).unwrap();
        for length in 0..whole.len() {
            std::fs::write(fixture.file(), &whole[..length]).unwrap();
            assert_eq!(cache.load(), None, "{length} bytes");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(fixture.file(), &bytes).unwrap();
            assert_eq!(cache.load(), None, "byte {at}");
        }
        // The whole file of another profile under this one's name.
        let other = serde_json::from_str(r#"{"defaultAction": "SCMP_ACT_LOG"}"#).unwrap();
        let foreign = Cache::open(&fixture.directory, &other).unwrap();
        std::fs::write(fixture.file(), foreign.encode(&fixture.program)).unwrap();
        assert_eq!(cache.load(), None);
    }

    #[test]
    fn what_others_could_have_written_is_not_used() {
        let fixture = Fixture::new();
        let cache = fixture.cache().unwrap();
        cache.store(&fixture.program);
        let file = fixture.file();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).unwrap();
        assert_eq!(cache.load(), None);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(cache.load().is_some());

        let elsewhere = fixture.directory.with_extension("elsewhere");
        std::fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert_eq!(cache.load(), None, "a link is not followed");

        std::fs::set_permissions(&fixture.directory, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(fixture.cache().is_none());
        if rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&fixture.directory, PermissionsExt::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&fixture.directory, Some(1), None).unwrap();
            assert!(fixture.cache().is_none());
        }
    }

    #[test]
    fn a_full_directory_starts_over() {
        let fixture = Fixture::new();
        let cache = fixture.cache().unwrap();
        for number in 0..MOST_FILES {
            std::fs::write(fixture.directory.join(format!("{number}.bpf")), "").unwrap();
        }
        cache.store(&fixture.program);
        assert!(cache.load().is_some());
        assert_eq!(std::fs::read_dir(&fixture.directory).unwrap().count(), 1);
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        /// Nothing but what was kept is ever taken out, whatever is in the file.
        #[test]
        fn fuzz_cache(bytes in proptest::strategy::Strategy::prop_flat_map(
            proptest::strategy::LazyJust::new(|| {
                let fixture = Fixture::new();
                fixture.cache().unwrap().encode(&fixture.program)
            }),
            |whole| crate::fuzz::mutated(&whole),
        )) {
            let fixture = Fixture::new();
            let found = fixture.cache().unwrap().decode(&bytes);
            proptest::prop_assert!(found.is_none_or(|found| found == fixture.program));
        }
    }
}

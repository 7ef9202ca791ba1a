//! What an attacker does while the runtime works, and what on the host must not change by it.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Two names in a directory that change places again and again, until the racer is dropped.
pub(crate) struct Racer {
    over: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Racer {
    /// Exchanges `one` and `other` (renameat2(2) with RENAME_EXCHANGE): there is no moment at which
    /// either is missing.
    pub(crate) fn exchange(one: &Path, other: &Path) -> Racer {
        let (over, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (one, other) = (one.to_owned(), other.to_owned());
        let (is_over, count) = (Arc::clone(&over), Arc::clone(&turns));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Racer { over, turns, thread: Some(thread) }
    }

    /// Runs `step` at least `least` times, and on until the names have changed places twice as
    /// often: so they did while the runtime was at work.
    #[track_caller]
    pub(crate) fn against(&self, least: u64, mut step: impl FnMut()) {
        let (begin, mut steps) = (self.turns.load(Ordering::Relaxed), 0);
        let turned = || self.turns.load(Ordering::Relaxed) - begin;
        while steps < least || turned() < 2 * least {
            step();
            steps += 1;
            assert!(steps < 100 * least, "the racer does not come to its turn: {}", turned());
        }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Something on the host that no container may touch: a directory with one file.
pub(crate) struct Canary {
    root: tempfile::TempDir,
    before: Facts,
}

/// All that can be changed of a directory with files in it.
type Facts = Vec<(PathBuf, u32, u32, u32, Vec<u8>)>;

impl Canary {
    /// Puts it on the host.
    pub(crate) fn new() -> Canary {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("canary")).unwrap();
        fs::write(root.path().join("canary/file"), "the host's own\n").unwrap();
        let mode = PermissionsExt::from_mode(0o640);
        fs::set_permissions(root.path().join("canary/file"), mode).unwrap();
        let before = facts(&root.path().join("canary"));
        Canary { root, before }
    }

    /// The directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("canary")
    }

    /// The directory as a link in the image would name it, from whatever depth.
    pub(crate) fn as_a_link(&self) -> PathBuf {
        Path::new(&"../".repeat(20)).join(self.directory().strip_prefix("/").unwrap())
    }

    /// Requires that it is as it was, and that nothing is mounted there.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        assert_eq!(facts(&self.directory()), self.before, "the host was changed");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let path = self.root.path().to_str().unwrap();
        assert!(!mounts.contains(path), "something was mounted on the host: {mounts}");
    }
}

fn facts(directory: &Path) -> Facts {
    let mut found: Facts = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            (path, stat.mode(), stat.uid(), stat.gid(), content)
        })
        .collect();
    found.sort();
    found
}

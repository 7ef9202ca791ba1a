//! How much memory the processes of a cgroup have of their own at the most.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(20);

/// Bytes of a page, where this runs.
const PAGE: f64 = 4096.0;

/// Looks at the processes until it is told to end.
pub(crate) struct Peak {
    ended: Arc<AtomicBool>,
    watching: JoinHandle<u64>,
}

impl Peak {
    /// Begins with the processes of a cgroup, but for this one.
    pub(crate) fn watch(cgroup: &Path) -> Peak {
        let ended = Arc::new(AtomicBool::new(false));
        let (cgroup, until) = (cgroup.to_owned(), Arc::clone(&ended));
        let watching = std::thread::spawn(move || {
            let mut most = 0;
            while !until.load(Ordering::Relaxed) {
                most = most.max(used(&cgroup));
                std::thread::sleep(EVERY);
            }
            most
        });
        Peak { ended, watching }
    }

    /// The most that was seen, in MiB.
    pub(crate) fn end(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        let pages = self.watching.join().expect("nothing there panics");
        pages as f64 * PAGE / f64::from(1 << 20)
    }
}

/// Pages of memory that the processes share with no file.
fn used(cgroup: &Path) -> u64 {
    let processes = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = std::process::id().to_string();
    processes.lines().filter(|pid| *pid != own).filter_map(own_pages).sum()
}

fn own_pages(pid: &str) -> Option<u64> {
    let path: PathBuf = ["/proc", pid, "statm"].iter().collect();
    let text = std::fs::read_to_string(path).ok()?;
    let mut fields = text.split(' ').map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (fields.nth(1)??, fields.next()??);
    Some(resident.saturating_sub(shared))
}

//! What all that runs here has used of the processors: a cgroup that the bench and all that it starts
//! are in.
//!
//! On a busy machine the time on the wall says little; this says what was done, by whichever process.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tare_integration::footprint::cgroups;

/// Files that tell the time, in version 1 and 2.
const V1: &str = "cpuacct.usage";
const V2: &str = "cpu.stat";

/// The cgroup, in the hierarchy that counts processor time.
#[derive(Debug)]
pub(crate) struct Account {
    directory: PathBuf,
}

/// What something took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Milliseconds on the wall.
    pub(crate) wall: f64,
    /// Milliseconds of the processors.
    pub(crate) cpu: f64,
}

impl Account {
    /// Makes the cgroup and enters it.
    pub(crate) fn open(cgroup: &str) -> Account {
        let directories = cgroups(cgroup);
        let counts = |directory: &&PathBuf| {
            fs::create_dir_all(directory).is_ok()
                && [V1, V2].iter().any(|file| directory.join(file).exists())
        };
        // cpu.stat tells the time in version 2 alone, cpuacct.usage in version 1.
        let v1 =
            directories.iter().find(|directory| counts(directory) && directory.join(V1).exists());
        let directory = v1.or_else(|| directories.iter().find(counts));
        let directory = directory.expect("find a cgroup that counts processor time").clone();
        fs::write(directory.join("cgroup.procs"), "0").expect("enter the cgroup");
        Account { directory }
    }

    /// Measures `work`.
    pub(crate) fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, Cost) {
        let used = self.used();
        let begun = Instant::now();
        let result = work();
        let wall = millis(begun.elapsed());
        (result, Cost { wall, cpu: millis(self.used().saturating_sub(used)) })
    }

    /// The time used so far.
    fn used(&self) -> Duration {
        if let Ok(nanos) = fs::read_to_string(self.directory.join(V1)) {
            return Duration::from_nanos(nanos.trim().parse().expect("it is a number"));
        }
        let stat = fs::read_to_string(self.directory.join(V2)).expect("read the time used");
        let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Duration::from_micros(micros.and_then(|text| text.parse().ok()).expect("it is a number"))
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

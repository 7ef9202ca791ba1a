//! Settings that may be changed while the manager runs: whoever needs one reads it anew each time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::Runtime;
use crate::container::{CgroupnsMode, IpcMode};

/// The runtime that is always there.
const OWN_RUNTIME: &str = "tare";
/// What docker calls the one that is always there. Whoever asks for it by one of these gets ours,
/// which has the same command line, unless another is configured by that name.
const DOCKERS_RUNTIME: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// Their values at one moment.
#[derive(Debug, Clone)]
pub struct Live {
    /// OCI runtimes by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The runtime of containers that name none; a key of `runtimes`.
    pub default_runtime: String,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// The IPC namespace of containers that name none.
    pub ipc_mode: IpcMode,
    /// The cgroup namespace of containers that name none; none: the host's own where there is cgroup
    /// v1, one of its own where there is v2.
    pub cgroupns_mode: Option<CgroupnsMode>,
    /// Seconds that `stop` waits before it kills.
    pub stop_timeout: u32,
    /// Labels of this manager, as `info` shows them.
    pub labels: Vec<String>,
}

impl Live {
    /// The runtime that is meant by `name`.
    pub fn runtime(&self, name: &str) -> Option<&Runtime> {
        let is_dockers = DOCKERS_RUNTIME.contains(&name);
        let own = || self.runtimes.get(OWN_RUNTIME).filter(|_| is_dockers);
        self.runtimes.get(name).or_else(own)
    }
}

impl Default for Live {
    fn default() -> Self {
        let tare = Runtime { path: PathBuf::from(OWN_RUNTIME), arguments: Vec::new() };
        Self {
            runtimes: BTreeMap::from([(OWN_RUNTIME.to_owned(), tare)]),
            default_runtime: OWN_RUNTIME.to_owned(),
            shm_size: 64 << 20,
            ipc_mode: IpcMode::Private,
            cgroupns_mode: None,
            stop_timeout: 10,
            labels: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_runtime_is_ours_unless_it_is_another() {
        let mut live = Live::default();
        assert_eq!(live.runtime("runc").unwrap().path, PathBuf::from("tare"));
        assert_eq!(live.runtime("tare"), live.runtime("io.containerd.runc.v2"));
        assert!(live.runtime("crun").is_none());
        let real = Runtime { path: PathBuf::from("/usr/sbin/runc"), arguments: Vec::new() };
        live.runtimes.insert("runc".to_owned(), real.clone());
        assert_eq!(live.runtime("runc"), Some(&real));
    }
}

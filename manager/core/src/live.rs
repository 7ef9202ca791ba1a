//! Settings that may be changed while the manager runs: whoever needs one reads it anew each time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::Runtime;
use crate::container::{CgroupnsMode, IpcMode};

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

impl Default for Live {
    fn default() -> Self {
        let tare = Runtime { path: PathBuf::from("tare"), arguments: Vec::new() };
        Self {
            runtimes: BTreeMap::from([("tare".to_owned(), tare)]),
            default_runtime: "tare".to_owned(),
            shm_size: 64 << 20,
            ipc_mode: IpcMode::Private,
            cgroupns_mode: None,
            stop_timeout: 10,
            labels: Vec::new(),
        }
    }
}

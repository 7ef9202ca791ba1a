//! How a container sits on this host: the part of its settings that no image gives.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::empty_lists::EmptyLists;
use super::link::Link;
use super::membership::Membership;
use super::modes::{CgroupnsMode, IpcMode, NetworkMode, PidMode, UsernsMode, UtsMode};
use super::mount::{Bind, MountRequest};
use super::ports::{Port, PortBinding};
use super::resources::Resources;

/// The settings of a container that depend on the host, by docker's `HostConfig`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostConfig {
    /// `-v` with a source.
    pub binds: Vec<Bind>,
    /// `--mount`.
    pub mounts: Vec<MountRequest>,
    /// `--volumes-from`: containers by name or id, each with options: `donor:ro`.
    pub volumes_from: Vec<String>,
    /// The driver of volumes that name none; empty: `local`, which is the only one.
    pub volume_driver: String,
    /// Read-only binds don't reach what is mounted below them: so it was before API 1.44.
    pub read_only_top_only: bool,
    /// `--tmpfs`: path inside to mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// The client's file for the id, kept for `inspect`.
    pub container_id_file: String,
    /// Where output is kept.
    pub log: LogConfig,
    /// Which network it is on.
    pub network_mode: NetworkMode,
    /// What it wants of its networks, by their names. Empty: of the one that its mode names, nothing
    /// but to be there.
    pub networks: BTreeMap<String, Membership>,
    /// Others on the default bridge that it is told of.
    pub links: Vec<Link>,
    /// A fixed MAC address where the mode says, as written by its user in the way of old.
    pub mac_address: Option<String>,
    /// Published ports.
    pub port_bindings: BTreeMap<Port, Vec<PortBinding>>,
    /// Publish every exposed port at a free one of the host.
    pub publish_all_ports: bool,
    /// What happens when it ends.
    pub restart_policy: RestartPolicy,
    /// Remove it when it ends.
    pub auto_remove: bool,
    /// Rows and columns of the client's terminal.
    pub console_size: TerminalSize,
    /// Annotations for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// Capabilities beyond the default set, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to take out of the default set, or `ALL`.
    pub cap_drop: Vec<String>,
    /// Name servers; empty: the manager's.
    pub dns: Vec<IpAddr>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Lines for /etc/hosts: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Groups of the program beside its own, by name or number.
    pub group_add: Vec<String>,
    /// Whose IPC objects it sees.
    pub ipc_mode: IpcMode,
    /// Whose processes it sees.
    pub pid_mode: PidMode,
    /// Whose host name it has.
    pub uts_mode: UtsMode,
    /// Whose cgroup tree it sees.
    pub cgroupns_mode: CgroupnsMode,
    /// Whose users its users are.
    pub userns_mode: UsernsMode,
    /// -1000 to 1000: how soon the kernel kills it when memory runs out.
    pub oom_score_adj: i32,
    /// All capabilities and devices, nothing masked, no seccomp.
    pub privileged: bool,
    /// The root file system can't be written.
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `no-new-privileges`, `systempaths=unconfined`, `label=…`, `apparmor=…`.
    pub security_options: Vec<String>,
    /// Size of /dev/shm in bytes; `None`: the manager's default.
    pub shm_size: Option<u64>,
    /// `--storage-opt`: `size`, the most that it may write.
    pub storage_options: BTreeMap<String, String>,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The OCI runtime by its configured name; empty: the default.
    pub runtime: String,
    /// `default` as its user wrote it, or empty: there is no other on Linux. Kept for `inspect`.
    pub isolation: String,
    /// Whether a reaping init runs before the program; `None`: the manager's default.
    pub init: Option<bool>,
    /// Paths of /proc and /sys to hide, in place of the default list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths of /proc and /sys to make read-only, in place of the default list.
    pub readonly_paths: Option<Vec<String>>,
    /// What it may use of the machine.
    pub resources: Resources,
    /// Which of its lists were given though they are empty; kept for `inspect`.
    pub empty_lists: EmptyLists,
}

/// A log driver and its options. An empty driver means the manager's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// `json-file` or `none`.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
}

/// What happens when a container ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// It stays as it is.
    #[default]
    No,
    /// It is started again.
    Always,
    /// It is started again unless its user stopped it.
    UnlessStopped,
    /// It is started again if it failed.
    OnFailure {
        /// How often; 0: for ever.
        maximum_retries: u32,
    },
}

/// Rows and columns of a terminal; 0: unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

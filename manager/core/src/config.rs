//! What the domain must be told before it can work: places, programs and defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::container::Ulimit;
use crate::ids::IdMap;
use crate::live::Live;
use crate::network::{AddressPool, ByFamily};
use crate::plugin::Places;
use crate::registry::RegistrySettings;
use crate::snapshot::{DriverName, Limits};

/// The settings of one manager. Two managers on one machine must differ in both roots, the bridge
/// and the cgroup parent.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) live: Arc<ArcSwap<Live>>,
    /// What outlives a reboot: the store, blobs, snapshots, container directories.
    pub data_root: PathBuf,
    /// What a reboot may take: bundles, sockets, network namespaces. Best on a tmpfs.
    pub exec_root: PathBuf,
    /// The program that supervises a container, called by containerd's shim protocol.
    pub shim: PathBuf,
    /// The init that `--init` puts into a container.
    pub init: PathBuf,
    /// The cgroup under which containers get theirs.
    pub cgroup_parent: String,
    /// Give containers an init even if they don't ask for one.
    pub init_by_default: bool,
    /// Programs of containers that don't say otherwise gain no privileges by executing others.
    pub no_new_privileges: bool,
    /// Limits of each process of containers that don't set them themselves.
    pub default_ulimits: Vec<Ulimit>,
    /// The default network.
    pub bridge: Bridge,
    /// Where networks get their addresses from that name none; empty: docker's ranges.
    pub address_pools: Vec<AddressPool>,
    /// Options of networks that don't give them themselves, by the name of their driver.
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// What `host-gateway` stands for; empty: the host's addresses on the default network.
    pub host_gateways: Vec<IpAddr>,
    /// Whether what comes to published ports by IPv6 is passed on where the packet filter can't lead
    /// it: to containers that have IPv4 alone, and from ::1.
    pub passes_on: bool,
    /// Whether and for whom the host is made to forward packets.
    pub forwarding: Forwarding,
    /// Name servers of containers that name none; empty: the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains of containers that name none.
    pub dns_search: Vec<String>,
    /// Options of containers' resolvers.
    pub dns_options: Vec<String>,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// Its options.
    pub log_options: BTreeMap<String, String>,
    /// What keeps images and containers on disk; none: what works and was used before.
    pub storage_driver: Option<DriverName>,
    /// The most bytes that a container may write which asks for no other limit.
    pub storage_limit: Option<u64>,
    /// How registries are reached.
    pub registry: RegistrySettings,
    /// The program that unpacks layers, each in a process of its own: it has to begin with
    /// [`run_if_unpacker`](crate::snapshot::run_if_unpacker). None: this process unpacks.
    pub unpacker: Option<PathBuf>,
    /// The program that answers containers' questions for names, in a process of its own: it has to
    /// begin with [`run_if_resolver`](crate::network::run_if_resolver). None: this process answers.
    pub name_server: Option<PathBuf>,
    /// How large a layer may be.
    pub layer_limits: Limits,
    /// The most bytes of the disk for what is only kept to save work: parts of layers whose pulls
    /// ended early. None: as much as there is.
    pub cache_limit: Option<u64>,
    /// Where plugins are looked for.
    pub plugins: Places,
    /// The ids of the host that containers' ids are, unless they have the host's. None: they all have.
    pub id_map: Option<IdMap>,
}

/// An OCI runtime, called by runc's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Its program: a path, or a name to find on PATH.
    pub path: PathBuf,
    /// Arguments before the command.
    pub arguments: Vec<String>,
}

/// The default bridge network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The interface's name; at most 15 bytes.
    pub name: String,
    /// The bridge's own addresses; none: those that it has, or some of a subnet that is free on this
    /// host.
    pub addresses: ByFamily<Option<IpNet>>,
    /// Those that containers get; none: all of the subnet.
    pub ranges: ByFamily<Option<IpNet>>,
    /// Where containers reach everything else; none: at the bridge's own address.
    pub gateways: ByFamily<Option<IpAddr>>,
    /// Whether it has IPv6 beside IPv4.
    pub ipv6: bool,
    /// Whether its containers reach each other.
    pub icc: bool,
    /// Whether its containers are seen under the host's address outside.
    pub masquerade: bool,
    /// The MTU of its interfaces; none: the kernel's default.
    pub mtu: Option<u32>,
    /// The address that published ports bind to when none is named.
    pub default_bind: IpAddr,
}

impl Bridge {
    /// A default network whose bridge has this name, and about which nothing else is said.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            addresses: ByFamily::default(),
            ranges: ByFamily::default(),
            gateways: ByFamily::default(),
            ipv6: false,
            icc: true,
            masquerade: true,
            mtu: None,
            default_bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// Whether and for whom the host is made to forward packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// For containers; for others only if it did so before.
    #[default]
    ForContainers,
    /// For whoever sends it packets.
    ForAll,
    /// It is left as it is: its owner sees to it.
    Untouched,
}

impl Config {
    /// The settings that may be changed, as they are now.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Changes them, for whoever reads them from now on.
    pub fn change(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.data_root.join("state.redb")
    }

    /// Where a container keeps what outlives a reboot (log, hosts file, the shim's record).
    pub fn container_directory(&self, id: &str) -> PathBuf {
        self.data_root.join("containers").join(id)
    }

    /// Where a container keeps what a reboot may take (its OCI bundle).
    pub fn bundle_directory(&self, id: &str) -> PathBuf {
        self.exec_root.join("containers").join(id)
    }

    /// Where network namespaces are held.
    pub fn netns_directory(&self) -> PathBuf {
        self.exec_root.join("netns")
    }

    /// Where network namespaces are held in which nobody is.
    pub fn parent_directory(&self) -> PathBuf {
        self.exec_root.join("parents")
    }

    /// Where it is written down what containers have of their networks.
    pub fn endpoint_directory(&self) -> PathBuf {
        self.exec_root.join("endpoints")
    }

    /// The note that it is this manager that has turned on the host's forwarding.
    pub fn forwarding_note(&self) -> PathBuf {
        self.exec_root.join("forwarding")
    }

    /// Where the process that answers names is found.
    pub fn names_socket(&self) -> PathBuf {
        self.exec_root.join("names")
    }

    /// Where shims put their sockets.
    pub fn socket_directory(&self) -> PathBuf {
        self.exec_root.join("s")
    }

    /// The OCI runtimes' own state (`--root`).
    pub fn runtime_root(&self) -> PathBuf {
        self.exec_root.join("runtime")
    }

    /// The same for commands of builds, which end with the manager.
    pub fn step_root(&self) -> PathBuf {
        self.exec_root.join("steps")
    }

    /// The settings of a manager with the given roots and all else by default.
    pub fn with_roots(data_root: &Path, exec_root: &Path) -> Self {
        Self {
            live: Arc::default(),
            data_root: data_root.to_owned(),
            exec_root: exec_root.to_owned(),
            shim: PathBuf::from("containerd-shim-tare-v2"),
            init: PathBuf::from("tare-init"),
            cgroup_parent: "/tare".to_owned(),
            init_by_default: false,
            no_new_privileges: false,
            default_ulimits: Vec::new(),
            bridge: Bridge::named("tare0"),
            address_pools: Vec::new(),
            network_options: BTreeMap::new(),
            host_gateways: Vec::new(),
            passes_on: true,
            forwarding: Forwarding::default(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            log_driver: "json-file".to_owned(),
            log_options: BTreeMap::new(),
            storage_driver: None,
            storage_limit: None,
            registry: RegistrySettings::default(),
            unpacker: None,
            name_server: None,
            layer_limits: Limits::default(),
            cache_limit: None,
            plugins: Places::default(),
            id_map: None,
        }
    }
}

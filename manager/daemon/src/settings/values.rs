//! Everything that can be set, as it stands on the command line and in the configuration file. The
//! names are docker's where docker has the setting.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::builder::Said;
use super::network::NetworkValues;
use super::pairs::{Feature, Mirrored, NamedRuntime, NamedUlimit, Pair, option_map};
use super::registry::FileProxies;

/// What was set; nothing of it is checked yet. The field names are the file's, with `-` for `_`.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Values {
    /// Where to serve: unix:///PATH, tcp://HOST:PORT, or fd:// for sockets that systemd has opened;
    /// may be given several times [default: unix:///var/run/docker.sock]
    #[arg(short = 'H', long = "host", value_name = "ADDRESS", global = true)]
    pub hosts: Option<Vec<String>>,
    /// The group whose members may use the sockets [default: docker, if there is one]
    #[arg(short = 'G', long, value_name = "NAME", global = true)]
    pub group: Option<String>,
    /// Serve tcp:// by TLS, to clients that prove who they are unless --tlsverify=false; =false: to
    /// everyone, without TLS
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL", global = true, help_heading = "TLS")]
    pub tls: Option<bool>,
    /// Serve by TLS, and only clients with a certificate of the authority; =false: all of them
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL", global = true, help_heading = "TLS")]
    pub tlsverify: Option<bool>,
    /// The authority of clients' certificates [default: ca.pem in DOCKER_CERT_PATH or ~/.docker]
    #[arg(long, value_name = "FILE", global = true, help_heading = "TLS")]
    pub tlscacert: Option<PathBuf>,
    /// The certificate that is shown to clients [default: cert.pem there]
    #[arg(long, value_name = "FILE", global = true, help_heading = "TLS")]
    pub tlscert: Option<PathBuf>,
    /// Its private key [default: key.pem there]
    #[arg(long, value_name = "FILE", global = true, help_heading = "TLS")]
    pub tlskey: Option<PathBuf>,
    /// Where Prometheus can fetch numbers, by http://ADDRESS/metrics [default: nowhere]
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub metrics_addr: Option<String>,
    /// Seconds that requests get to end when the daemon ends; -1: as long as they take [default: 15]
    #[arg(long, value_name = "SECONDS", global = true, allow_negative_numbers = true)]
    pub shutdown_timeout: Option<i64>,
    /// Where everything is kept that outlives a reboot [default: /var/lib/tare]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_root: Option<PathBuf>,
    /// Where everything is kept that a reboot may take [default: /run/tare]
    #[arg(long, value_name = "DIR", global = true)]
    pub exec_root: Option<PathBuf>,
    /// What keeps images and containers on disk: overlay2, vfs, which copies them, or erofs, which
    /// keeps each layer in one file that the kernel mounts (Linux 6.15) [default: what was used
    /// before, or overlay2, or vfs where the kernel has no overlay]
    #[arg(short = 's', long, value_name = "NAME", global = true)]
    pub storage_driver: Option<String>,
    /// overlay2.size=BYTES, or a number with k, m or g: the most that a container may write that asks
    /// for no other limit, where the file system has quotas of projects
    #[arg(long = "storage-opt", value_name = "NAME=VALUE", global = true)]
    pub storage_opts: Option<Vec<String>>,
    /// The file that has the daemon's process id [default: EXEC_ROOT/tared.pid]
    #[arg(short = 'p', long, value_name = "FILE", global = true)]
    pub pidfile: Option<PathBuf>,

    /// Log everything; the same as --log-level debug
    #[arg(short = 'D', long, num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Log")]
    pub debug: Option<bool>,
    /// Which lines the daemon's own log gets [default: info]
    #[arg(short = 'l', long, value_name = "LEVEL", global = true, help_heading = "Log")]
    pub log_level: Option<LogLevel>,
    /// How they look [default: text]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Log")]
    pub log_format: Option<LogFormat>,
    /// No colours, and whole timestamps
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Log")]
    pub raw_logs: Option<bool>,

    /// A runtime that containers can ask for; may be given several times
    #[arg(
        long = "add-runtime",
        value_name = "NAME=PATH",
        global = true,
        help_heading = "Programs"
    )]
    #[serde(with = "option_map")]
    pub runtimes: Option<Vec<NamedRuntime>>,
    /// The runtime of containers that ask for none [default: tare]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Programs")]
    pub default_runtime: Option<String>,
    /// The program that looks after a container [default: containerd-shim-tare-v2, beside this
    /// program or in PATH]
    #[arg(long, value_name = "PATH", global = true, help_heading = "Programs")]
    pub shim: Option<PathBuf>,
    /// The init that containers with --init get [default: tare-init, beside this program or in
    /// PATH]
    #[arg(long, value_name = "PATH", global = true, help_heading = "Programs")]
    pub init_path: Option<PathBuf>,

    /// Settings of networks.
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkValues,

    /// A name server for containers; may be given several times [default: the host's]
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Containers")]
    pub dns: Option<Vec<IpAddr>>,
    /// A domain to search names in; may be given several times [default: the host's]
    #[arg(long, value_name = "DOMAIN", global = true, help_heading = "Containers")]
    pub dns_search: Option<Vec<String>>,
    /// An option of containers' resolvers; may be given several times
    #[arg(long = "dns-opt", value_name = "OPTION", global = true, help_heading = "Containers")]
    pub dns_opts: Option<Vec<String>>,
    /// The log driver of containers that ask for none [default: json-file]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Containers")]
    pub log_driver: Option<String>,
    /// An option of the log driver; may be given several times
    #[arg(long = "log-opt", value_name = "KEY=VALUE", global = true, help_heading = "Containers")]
    #[serde(with = "option_map")]
    pub log_opts: Option<Vec<Pair>>,
    /// Run an init in containers that don't ask for one, too
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Containers")]
    pub init: Option<bool>,
    /// The cgroup above all containers' [default: /tare]
    #[arg(long, value_name = "CGROUP", global = true, help_heading = "Containers")]
    pub cgroup_parent: Option<String>,
    /// Give containers other users than the host's: the subordinate ids of USER or UID; default: those
    /// of dockremap. A container may do without by --userns=host
    #[arg(long, value_name = "default|USER[:GROUP]", global = true, help_heading = "Containers")]
    pub userns_remap: Option<String>,
    /// The size of containers' /dev/shm: bytes, or a number with k, m or g [default: 64m]
    #[arg(long, value_name = "SIZE", global = true, help_heading = "Containers")]
    pub default_shm_size: Option<String>,
    /// Seconds between the signal that asks a container to end and the one that ends it, if it has no
    /// number of its own [default: 10]
    #[arg(long, value_name = "SECONDS", global = true, help_heading = "Containers")]
    pub default_stop_timeout: Option<u32>,
    /// Whether other containers may join the IPC namespace of one that does not say: private or
    /// shareable [default: private]
    #[arg(long, value_name = "MODE", global = true, help_heading = "Containers")]
    pub default_ipc_mode: Option<String>,
    /// The cgroup namespace of containers that do not say: private or host [default: private on hosts
    /// with cgroup v2 alone, host elsewhere]
    #[arg(long, value_name = "MODE", global = true, help_heading = "Containers")]
    pub default_cgroupns_mode: Option<String>,
    /// Programs of containers gain no privileges by executing others, if those containers do not say
    /// otherwise
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Containers")]
    pub no_new_privileges: Option<bool>,
    /// A limit of each process of a container that does not set it itself; may be given several times
    #[arg(
        long = "default-ulimit",
        value_name = "NAME=SOFT[:HARD]",
        global = true,
        help_heading = "Containers"
    )]
    #[serde(with = "option_map")]
    pub default_ulimits: Option<Vec<NamedUlimit>>,
    /// native.cgroupdriver=cgroupfs: the only one that there is
    #[arg(
        long = "exec-opt",
        value_name = "NAME=VALUE",
        global = true,
        help_heading = "Containers"
    )]
    pub exec_opts: Option<Vec<String>>,
    /// Docker's switches NAME[=BOOL]: containerd-snapshotter can only be false
    #[arg(long = "feature", value_name = "NAME", global = true, help_heading = "Containers")]
    #[serde(with = "option_map")]
    pub features: Option<Vec<Feature>>,
    /// Builds, in the file alone.
    #[arg(skip)]
    pub builder: Option<Said>,

    /// A mirror of the Hub; may be given several times
    #[arg(
        long = "registry-mirror",
        value_name = "URL",
        global = true,
        help_heading = "Registries"
    )]
    pub registry_mirrors: Option<Vec<String>>,
    /// Mirrors of any registry, by commas; may be given several times
    #[arg(
        long = "mirror",
        value_name = "REGISTRY=URL",
        global = true,
        help_heading = "Registries"
    )]
    #[serde(with = "option_map")]
    pub mirrors: Option<Vec<Mirrored>>,
    /// A registry that need not prove who it is: HOST[:PORT], or a network; may be given several
    /// times [default: those on this machine]
    #[arg(
        long = "insecure-registry",
        value_name = "REGISTRY",
        global = true,
        help_heading = "Registries"
    )]
    pub insecure_registries: Option<Vec<String>>,
    /// Layers that are fetched at the same time [default: 3]
    #[arg(long, value_name = "NUMBER", global = true, help_heading = "Registries")]
    pub max_concurrent_downloads: Option<u32>,
    /// Layers that are sent at the same time [default: 5]
    #[arg(long, value_name = "NUMBER", global = true, help_heading = "Registries")]
    pub max_concurrent_uploads: Option<u32>,
    /// How often something is tried before it counts as failed [default: 5]
    #[arg(long, value_name = "NUMBER", global = true, help_heading = "Registries")]
    pub max_download_attempts: Option<u32>,
    /// The size of a layer's archive, uncompressed, above which it is refused [default: 256g]
    #[arg(long, value_name = "SIZE", global = true, help_heading = "Registries")]
    pub max_layer_size: Option<String>,
    /// The number of files in a layer above which it is refused [default: 16777216]
    #[arg(long, value_name = "NUMBER", global = true, help_heading = "Registries")]
    pub max_layer_files: Option<u64>,
    /// The most of the disk for what is kept of pulls that ended early; what was fetched the longest
    /// ago goes first [default: no limit]
    #[arg(long, value_name = "SIZE", global = true, help_heading = "Registries")]
    pub max_cache_size: Option<String>,
    /// The proxy on the way to http:// addresses [default: HTTP_PROXY of the environment]
    #[arg(long, value_name = "URL", global = true, help_heading = "Registries")]
    pub http_proxy: Option<String>,
    /// The proxy on the way to https:// addresses [default: HTTPS_PROXY of the environment]
    #[arg(long, value_name = "URL", global = true, help_heading = "Registries")]
    pub https_proxy: Option<String>,
    /// Hosts and networks that are reached without a proxy, by commas [default: NO_PROXY of the
    /// environment]
    #[arg(long, value_name = "HOSTS", global = true, help_heading = "Registries")]
    pub no_proxy: Option<String>,
    /// The proxies as the file has them.
    #[arg(skip)]
    pub proxies: Option<FileProxies>,
    /// A label of this daemon, shown by `docker info`; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", global = true, help_heading = "Containers")]
    pub labels: Option<Vec<String>>,
}

/// Which lines the daemon's own log gets: those of this level and of the worse ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Everything, each request too.
    Debug,
    /// What the daemon does.
    #[default]
    Info,
    /// What should not be so.
    Warn,
    /// What failed.
    Error,
}

/// How the lines of the daemon's own log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

//! `features`: say what this program can do, as JSON, in the order that the specification lists it.

use super::streams;
use crate::container::record::SPEC_VERSION;
use crate::error::Result;
use crate::rootfs::options::known_options;
use serde::Serialize;
use std::collections::BTreeMap;

/// show the enabled features
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run() -> Result<()> {
    streams::print_json(&features(), "    ")?;
    streams::print("\n")
}

type Names = Vec<&'static str>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Names,
    mount_options: Names,
    linux: Linux,
    annotations: BTreeMap<&'static str, String>,
    potentially_unsafe_config_annotations: Names,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Names,
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Names,
    operators: Names,
    archs: Names,
    known_flags: Names,
    supported_flags: Names,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Serialize)]
struct MemoryPolicy {
    modes: Names,
    flags: Names,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

const YES: Enabled = Enabled { enabled: true };

fn features() -> Features {
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: SPEC_VERSION,
        hooks: vec![
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
        mount_options: known_options().collect(),
        linux: linux(),
        annotations: BTreeMap::from([(
            "io.github.seccomp.libseccomp.version",
            super::help::libseccomp_version(),
        )]),
        // Names, and beginnings of names, of annotations that change what the runtime does.
        potentially_unsafe_config_annotations: vec!["org.systemd.property.", "org.criu.config"],
    }
}

fn linux() -> Linux {
    let mut capabilities: Vec<_> = caps::all().into_iter().collect();
    capabilities.sort_by_key(caps::Capability::index);
    Linux {
        namespaces: vec!["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        cgroup: Cgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
        seccomp: seccomp(),
        apparmor: YES,
        selinux: YES,
        intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
        memory_policy: MemoryPolicy {
            modes: vec![
                "MPOL_BIND",
                "MPOL_DEFAULT",
                "MPOL_INTERLEAVE",
                "MPOL_LOCAL",
                "MPOL_PREFERRED",
                "MPOL_PREFERRED_MANY",
                "MPOL_WEIGHTED_INTERLEAVE",
            ],
            flags: vec!["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
        },
        mount_extensions: MountExtensions { idmap: YES },
        net_devices: YES,
    }
}

fn seccomp() -> Seccomp {
    let flags = vec![
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];
    Seccomp {
        enabled: true,
        actions: vec![
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_KILL",
            "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_LOG",
            "SCMP_ACT_NOTIFY",
            "SCMP_ACT_TRACE",
            "SCMP_ACT_TRAP",
        ],
        operators: vec![
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_LE",
            "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE",
        ],
        archs: vec![
            "SCMP_ARCH_AARCH64",
            "SCMP_ARCH_ARM",
            "SCMP_ARCH_MIPS",
            "SCMP_ARCH_MIPS64",
            "SCMP_ARCH_MIPS64N32",
            "SCMP_ARCH_MIPSEL",
            "SCMP_ARCH_MIPSEL64",
            "SCMP_ARCH_MIPSEL64N32",
            "SCMP_ARCH_PPC",
            "SCMP_ARCH_PPC64",
            "SCMP_ARCH_PPC64LE",
            "SCMP_ARCH_RISCV64",
            "SCMP_ARCH_S390",
            "SCMP_ARCH_S390X",
            "SCMP_ARCH_X32",
            "SCMP_ARCH_X86",
            "SCMP_ARCH_X86_64",
        ],
        known_flags: flags.clone(),
        supported_flags: flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_specifications_own_type_reads_it() {
        let text = serde_json::to_string(&features()).unwrap();
        let read: oci_spec::runtime::Features = serde_json::from_str(&text).unwrap();
        assert_eq!(read.oci_version_max(), SPEC_VERSION);
        let linux = read.linux().clone().unwrap();
        assert_eq!(linux.capabilities().as_ref().map(Vec::len), Some(caps::all().len()));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["linux"]["netDevices"]["enabled"], true);
        assert_eq!(value["linux"]["capabilities"][0], "CAP_CHOWN");
    }
}

//! `features`: say what this program can do, as JSON.

use super::{SPEC_VERSION, streams};
use crate::error::Result;
use crate::rootfs::options::known_options;
use serde_json::json;

/// show the enabled features
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run() -> Result<()> {
    let mut capabilities: Vec<String> =
        caps::all().into_iter().map(|capability| capability.to_string()).collect();
    capabilities.sort();
    streams::print_json(
        &json!({
            "ociVersionMin": "1.0.0",
            "ociVersionMax": SPEC_VERSION,
            "hooks": [
                "prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                "poststop"
            ],
            "mountOptions": known_options().collect::<Vec<_>>(),
            "linux": {
                "namespaces":
                    ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
                "capabilities": capabilities,
                "cgroup": {
                    "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true
                },
                "seccomp": {
                    "enabled": true,
                    "actions": [
                        "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
                        "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                        "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"
                    ],
                    "operators": [
                        "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                        "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"
                    ],
                    "archs": [
                        "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS",
                        "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
                        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
                        "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64",
                        "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86",
                        "SCMP_ARCH_X86_64"
                    ],
                    "knownFlags": [
                        "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
                    ],
                    "supportedFlags": [
                        "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
                    ]
                },
                "apparmor": { "enabled": true },
                "selinux": { "enabled": true },
                "intelRdt": { "enabled": false },
                "memoryPolicy": {
                    "modes": [
                        "MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL",
                        "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"
                    ],
                    "flags": [
                        "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"
                    ]
                },
                "mountExtensions": { "idmap": { "enabled": true } },
                "netDevices": { "enabled": false }
            },
            "annotations": {
                "io.github.seccomp.libseccomp.version": super::help::libseccomp_version()
            },
            "potentiallyUnsafeConfigAnnotations": []
        }),
        "    ",
    )?;
    streams::print("\n")
}

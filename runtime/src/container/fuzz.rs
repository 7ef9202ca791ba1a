//! Hostile descriptions of containers and processes: whatever they say, they are understood or
//! refused, and nothing they say leads out of what they are about.

use super::record::{Record, to_json};
use super::status::Status;
use super::validate::validate;
use super::{bundle, plan};
use crate::fuzz::{json, mutated, settings};
use crate::init::launch::Launch;
use crate::init::namespaces::Namespaces;
use crate::log::{Format, Level, Log};
use crate::process::{rlimits, seccomp};
use crate::rootfs::devices;
use crate::rootfs::plan::MountPlan;
use oci_spec::runtime::{MountBuilder, Spec};
use proptest::prelude::{Strategy, prop_assert_eq, proptest};
use serde_json::{Value, json as literal};
use std::path::Path;

/// Warnings are not what is looked for here.
const SILENT: Log = Log { file: None, format: Format::Text, least: Level::Error };

/// A configuration that has something of everything.
fn config() -> Value {
    literal!({
        "ociVersion": "1.2.0",
        "hostname": "box", "domainname": "dom",
        "root": { "path": "rootfs", "readonly": true },
        "process": process(),
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k", "tmpcopyup"] },
            { "destination": "/v", "type": "bind", "source": "/nowhere",
              "options": ["rbind", "rro", "rslave", "noatime", "idmap"],
              "uidMappings": [{ "containerID": 0, "hostID": 7, "size": 1 }],
              "gidMappings": [{ "containerID": 0, "hostID": 7, "size": 1 }] },
        ],
        "annotations": { "a": "b" },
        "hooks": { "prestart": [{ "path": "/nowhere", "args": ["a"], "env": ["A=b"], "timeout": 5 }] },
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "user" },
                { "type": "uts" }, { "type": "ipc" }, { "type": "network" }, { "type": "time" }],
            "uidMappings": [{ "containerID": 0, "hostID": 1000, "size": 1 },
                { "containerID": 1, "hostID": 100_000, "size": 65_536 }],
            "gidMappings": [{ "containerID": 0, "hostID": 1000, "size": 65_536 }],
            "timeOffsets": { "monotonic": { "secs": 5, "nanosecs": 7 } },
            "devices": [{ "path": "/dev/x", "type": "c", "major": 10, "minor": 229,
                "fileMode": 438, "uid": 0, "gid": 0 }],
            "sysctl": { "net.ipv4.ip_forward": "1", "kernel.sem": "1 2 3 4" },
            "cgroupsPath": "/a/b",
            "rootfsPropagation": "rslave",
            "maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"],
            "personality": { "domain": "LINUX32" },
            "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [{ "names": ["read", "socket"], "action": "SCMP_ACT_ALLOW",
                    "args": [{ "index": 0, "value": 38, "valueTwo": 0, "op": "SCMP_CMP_NE" }] }] },
        },
    })
}

/// A process that has something of everything.
fn process() -> Value {
    literal!({
        "terminal": false,
        "consoleSize": { "height": 24, "width": 80 },
        "user": { "uid": 5, "gid": 6, "umask": 18, "additionalGids": [7, 8] },
        "args": ["sh", "-c", "true"],
        "env": ["PATH=/bin", "A=b"],
        "cwd": "/",
        "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"],
            "permitted": ["CAP_KILL"], "inheritable": [], "ambient": ["CAP_KILL"] },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
        "noNewPrivileges": true,
        "oomScoreAdj": 100,
        "scheduler": { "policy": "SCHED_OTHER", "nice": 3 },
        "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 4 },
        "execCPUAffinity": { "initial": "0-1", "final": "0" },
    })
}

/// Does with a configuration all that is done before anything is made.
fn understand(spec: &Spec) {
    let linux = plan::linux_of(spec);
    if let Ok(namespaces) = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default()) {
        let _ = validate(spec, &linux, &namespaces);
    }
    for mount in spec.mounts().iter().flatten() {
        let _ = MountPlan::parse(mount, Path::new("/bundle"), Path::new("/bundle/rootfs"));
    }
    let _ = devices::plan(linux.devices().as_deref().unwrap_or_default());
    let _ = plan::id_maps(&linux);
    let _ = plan::time_offsets(&linux);
    if let Some(process) = spec.process() {
        let _ = bundle::check_process(process);
        let _ = rlimits::from_inside(nix::sched::CloneFlags::empty(), process);
        let _ = Launch::plan(process.clone(), None, &SILENT);
    }
}

fn record() -> Value {
    literal!({
        "ociVersion": "1.2.0", "id": "c", "bundle": "/b", "rootfs": "/b/rootfs",
        "created": "2026-01-01T00:00:00Z", "phase": "ready",
        "init": { "pid": 4, "startTime": 5 }, "annotations": { "a": "b" },
        "namespaces": 131_072, "ownPidNamespace": true, "newKeyring": true,
        "cgroup": { "groups": [] },
    })
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn fuzz_config(config in json(config())) {
        if let Ok((spec, _)) = bundle::parse(config.to_string().as_bytes()) {
            understand(&spec);
        }
    }

    #[test]
    fn fuzz_config_text(text in mutated(config().to_string().as_bytes())) {
        if let Ok((spec, _)) = bundle::parse(&text) {
            understand(&spec);
        }
    }

    #[test]
    fn fuzz_process(process in json(process())) {
        if let Ok((process, _)) = bundle::parse_process(process.to_string().as_bytes()) {
            let _ = Launch::plan(process, None, &SILENT);
        }
    }

    #[test]
    fn fuzz_seccomp(profile in json(config()["linux"]["seccomp"].clone())) {
        if let Ok(profile) = serde_json::from_value(profile) {
            let _ = seccomp::compile(&profile);
        }
    }

    #[test]
    fn fuzz_state(state in json(record())) {
        let Ok(record) = serde_json::from_value::<Record>(state) else { return Ok(()) };
        let _ = record.init.is_alive();
        let _ = record.oci_state(Status::Running, record.init.pid);
        let again: Record = serde_json::from_str(&to_json(&record).unwrap()).unwrap();
        prop_assert_eq!(to_json(&again).unwrap(), to_json(&record).unwrap());
    }

    #[test]
    fn fuzz_mount_options(
        options in proptest::collection::vec(proptest::prop_oneof![
            crate::fuzz::words().boxed(),
            proptest::sample::select(vec!["ro", "rw", "rbind", "bind", "remount", "rro", "ridmap",
                "noatime", "strictatime", "rnoatime", "private", "runbindable", "tmpcopyup",
                "mode=1777", "size=1k", "idmap"]).prop_map(str::to_owned).boxed(),
        ], 0..12),
        typ in proptest::sample::select(vec!["bind", "tmpfs", "proc", "cgroup", "", "overlay"]),
        destination in crate::fuzz::words(),
    ) {
        let mount = MountBuilder::default().destination(destination).source("/s").typ(typ);
        let mount = mount.options(options).build().unwrap();
        if let Ok(plan) = MountPlan::parse(&mount, Path::new("/bundle"), Path::new("/bundle/rootfs")) {
            // The kernel refuses a bit that is to be set and cleared at once, but for access times.
            let both = plan.attributes.set & plan.attributes.clear;
            prop_assert_eq!(both & !crate::rootfs::options::ATIME, 0);
        }
    }
}

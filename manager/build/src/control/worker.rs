//! What builds here, as clients ask before they ask for a build.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tare_core::host::{System, manager_id};
use tare_core::image::Platform;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::types;
use tare_proto::builds::pb;

use crate::Builder;

/// The BuildKit whose API this is. Clients compare it with what they need.
const VERSION: &str = "v0.25.2";
/// Where it comes from.
const PACKAGE: &str = "github.com/moby/buildkit";
/// What labels that BuildKit gives begin with.
const LABEL: &str = "org.mobyproject.buildkit.worker";
/// Interpreters of other processors' programs, as they are called where the kernel has them, and
/// the processors.
const INTERPRETERS: [(&str, &str); 8] = [
    ("qemu-aarch64", "arm64"),
    ("qemu-riscv64", "riscv64"),
    ("qemu-ppc64le", "ppc64le"),
    ("qemu-s390x", "s390x"),
    ("qemu-mips64el", "mips64le"),
    ("qemu-loongarch64", "loong64"),
    ("qemu-arm", "arm"),
    ("qemu-i386", "386"),
];

/// The builder.
pub(super) fn record(builder: &Builder) -> types::WorkerRecord {
    types::WorkerRecord {
        id: manager_id(&builder.engine.config.data_root),
        labels: labels(builder),
        platforms: platforms(),
        gc_policy: super::cache::policy(builder),
        buildkit_version: Some(version()),
        cdi_devices: Vec::new(),
    }
}

/// What it is.
pub(super) fn info() -> api::InfoResponse {
    api::InfoResponse { buildkit_version: Some(version()) }
}

fn version() -> types::BuildkitVersion {
    types::BuildkitVersion {
        package: PACKAGE.to_owned(),
        version: VERSION.to_owned(),
        ..Default::default()
    }
}

/// That there is a name of a snapshotter tells clients that images are kept as registries have them:
/// with manifests, for many platforms, and that caches and archives can be exported.
fn labels(builder: &Builder) -> BTreeMap<String, String> {
    let engine = &builder.engine;
    let mut labels = BTreeMap::from([
        (format!("{LABEL}.executor"), "oci".to_owned()),
        (format!("{LABEL}.hostname"), System::read().host_name),
        (format!("{LABEL}.network"), "host".to_owned()),
        (format!("{LABEL}.selinux.enabled"), "false".to_owned()),
        (format!("{LABEL}.snapshotter"), engine.images.snapshots().driver().as_str().to_owned()),
    ]);
    if let Some(gateway) = engine.networks.host_gateways().first() {
        labels.insert(format!("{LABEL}.moby.host-gateway-ip"), gateway.to_string());
    }
    labels
}

/// What this machine runs, itself or by an interpreter.
fn platforms() -> Vec<pb::Platform> {
    let host = Platform::of_this_machine();
    let plain = Platform::host();
    let mut platforms = vec![platform(&plain.architecture, plain.variant.as_deref())];
    if host.architecture == "amd64" {
        let newest = host.variant.as_deref().unwrap_or("v1");
        let variants = ["v2", "v3", "v4"].into_iter().filter(|variant| *variant <= newest);
        platforms.extend(variants.map(|variant| platform("amd64", Some(variant))));
        // The kernel has this where it runs programs for the older processors.
        if Path::new("/proc/sys/abi/vsyscall32").exists() {
            platforms.push(platform("386", None));
        }
    }
    for (interpreter, architecture) in INTERPRETERS {
        let is_there = platforms.iter().any(|platform| platform.architecture == architecture);
        if !is_there && is_enabled(interpreter) {
            platforms.push(platform(architecture, None));
        }
    }
    platforms
}

fn platform(architecture: &str, variant: Option<&str>) -> pb::Platform {
    pb::Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        variant: variant.unwrap_or_default().to_owned(),
        ..pb::Platform::default()
    }
}

fn is_enabled(interpreter: &str) -> bool {
    let entry = Path::new("/proc/sys/fs/binfmt_misc").join(interpreter);
    fs::read_to_string(entry).is_ok_and(|text| text.starts_with("enabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_comes_first_and_nothing_twice() {
        let platforms = platforms();
        assert_eq!(platforms[0].architecture, Platform::host().architecture);
        for (position, platform) in platforms.iter().enumerate() {
            assert!(!platforms[..position].contains(platform), "{platform:?}");
        }
    }
}

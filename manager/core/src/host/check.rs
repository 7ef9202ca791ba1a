//! Does this host have what containers need? One finding for each need, with what to do about it.

use std::fs;
use std::path::Path;

use super::{Controller, Host, Seat, find_program, firewall};
use crate::config::Config;

/// How one need is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Good,
    /// It isn't, and some options of containers won't work.
    Limited,
    /// It isn't, and no container will run.
    Missing,
}

/// One need and how it is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is needed.
    pub what: String,
    /// How it is met.
    pub verdict: Verdict,
    /// What was found; if it isn't good, what to do.
    pub detail: String,
}

/// The oldest kernel that has all the calls we make.
const OLDEST_KERNEL: (u32, u32) = (5, 10);

/// Looks at everything that a manager with these settings needs of this host.
pub fn check(config: &Config) -> Vec<Finding> {
    let host = Host::read();
    let mut findings = vec![kernel(&host), privilege(), overlay()];
    findings.extend(["mnt", "pid", "net", "ipc", "uts"].map(namespace));
    findings.push(cgroup_namespace(&host));
    findings.extend(Controller::ALL.map(|controller| cgroup(&host, controller)));
    findings.push(seccomp(&host));
    findings.extend(NETWORK.iter().map(|part| kernel_part(part, &host.system.kernel)));
    findings.push(forwarding(&host));
    findings.extend(firewall::others(&config.bridge.name));
    findings.push(tool("nft", "nftables", "containers get no bridge network"));
    findings.push(tool("ps", "procps", "`docker top` does not work"));
    findings.push(program("the shim", &config.shim, Verdict::Missing, "--shim"));
    let live = config.live();
    for (name, runtime) in &live.runtimes {
        let grade = if *name == live.default_runtime { Verdict::Missing } else { Verdict::Limited };
        let what = format!("the runtime {name}");
        findings.push(program(&what, &runtime.path, grade, "\"runtimes\" in daemon.json"));
    }
    findings.push(program("the init for --init", &config.init, Verdict::Limited, "--init-path"));
    findings
}

pub(super) fn finding(
    what: impl Into<String>,
    verdict: Verdict,
    detail: impl Into<String>,
) -> Finding {
    Finding { what: what.into(), verdict, detail: detail.into() }
}

fn kernel(host: &Host) -> Finding {
    let (major, minor) = OLDEST_KERNEL;
    if host.system.kernel_version() >= OLDEST_KERNEL {
        return finding("Linux kernel", Verdict::Good, host.system.kernel.clone());
    }
    let detail = format!("{} is too old; boot {major}.{minor} or later", host.system.kernel);
    finding("Linux kernel", Verdict::Missing, detail)
}

fn privilege() -> Finding {
    if rustix::process::geteuid().is_root() {
        return finding("privilege", Verdict::Good, "running as root");
    }
    finding("privilege", Verdict::Missing, "not root; run it with sudo")
}

fn overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        return finding("overlay file system", Verdict::Good, "there");
    }
    let detail = "not there; load it with `modprobe overlay`";
    finding("overlay file system", Verdict::Missing, detail)
}

fn namespace(kind: &str) -> Finding {
    let what = format!("{kind} namespaces");
    if Path::new("/proc/self/ns").join(kind).exists() {
        return finding(what, Verdict::Good, "there");
    }
    finding(what, Verdict::Missing, "not in this kernel; boot one with CONFIG_NAMESPACES in full")
}

fn cgroup_namespace(host: &Host) -> Finding {
    if host.security.cgroup_namespaces {
        return finding("cgroup namespaces", Verdict::Good, "there");
    }
    let detail = "not in this kernel; --cgroupns private won't work";
    finding("cgroup namespaces", Verdict::Limited, detail)
}

fn cgroup(host: &Host, controller: Controller) -> Finding {
    let what = format!("cgroup controller {}", controller.name());
    match host.cgroups.seat(controller) {
        Some(Seat::V1(at)) => finding(what, Verdict::Good, format!("v1 at {}", at.display())),
        Some(Seat::V2(at)) => finding(what, Verdict::Good, format!("v2 at {}", at.display())),
        None => {
            let name = controller.name();
            let detail = format!(
                "not mounted; its limits won't work. On cgroup v1: mount -t cgroup -o {name} \
                 {name} /sys/fs/cgroup/{name}"
            );
            finding(what, Verdict::Limited, detail)
        }
    }
}

fn seccomp(host: &Host) -> Finding {
    if host.security.seccomp {
        return finding("seccomp filters", Verdict::Good, "there");
    }
    let detail = "not in this kernel; boot one with CONFIG_SECCOMP_FILTER, or run containers with \
                  --security-opt seccomp=unconfined";
    finding("seccomp filters", Verdict::Missing, detail)
}

/// A part of the kernel that may be built in, loaded, or a module on disk.
struct KernelPart {
    what: &'static str,
    module: &'static str,
    /// A function of it, in /proc/kallsyms if it is built in.
    symbol: &'static str,
}

/// What the bridge network is made of.
const NETWORK: [KernelPart; 3] = [
    KernelPart { what: "network bridges", module: "bridge", symbol: "br_dev_setup" },
    KernelPart { what: "virtual ethernet pairs", module: "veth", symbol: "veth_setup" },
    KernelPart { what: "nftables", module: "nf_tables", symbol: "nft_do_chain" },
];

fn kernel_part(part: &KernelPart, release: &str) -> Finding {
    let KernelPart { what, module, symbol } = part;
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let defines = |line: &str| line.split_whitespace().nth(2) == Some(*symbol);
    if symbols.lines().any(defines) {
        return finding(*what, Verdict::Good, "there");
    }
    let file = format!("/{module}.ko");
    let modules = fs::read_to_string(format!("/lib/modules/{release}/modules.dep"));
    if modules.is_ok_and(|modules| modules.contains(&file)) {
        return finding(*what, Verdict::Good, format!("the module {module} is loaded when needed"));
    }
    let detail = format!("not in this kernel; only --network host and none work without {module}");
    finding(*what, Verdict::Limited, detail)
}

fn forwarding(host: &Host) -> Finding {
    if host.system.forwards_ipv4 {
        return finding("IPv4 forwarding", Verdict::Good, "on");
    }
    finding(
        "IPv4 forwarding",
        Verdict::Good,
        "off; the daemon turns it on, for containers' packets",
    )
}

fn program(what: &str, name: &Path, grade: Verdict, setting: &str) -> Finding {
    match find_program(name) {
        Some(found) => finding(what, Verdict::Good, found.display().to_string()),
        None => {
            let detail =
                format!("{} is not a program; install it, or set {setting}", name.display());
            finding(what, grade, detail)
        }
    }
}

/// A program of the system that we call; `without` says what happens where it is missing.
fn tool(name: &str, package: &str, without: &str) -> Finding {
    let what = format!("the program {name}");
    match find_program(Path::new(name)) {
        Some(found) => finding(what, Verdict::Good, found.display().to_string()),
        None => {
            let detail =
                format!("not on PATH; install the package {package}: without it {without}");
            finding(what, Verdict::Limited, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Live;

    #[test]
    fn a_runtime_that_is_not_there_is_found_missing() {
        let nowhere = Path::new("/nonexistent");
        let mut config = Config::with_roots(nowhere, nowhere);
        config.shim = "/bin/sh".into();
        let mut live = Live::default();
        for runtime in live.runtimes.values_mut() {
            runtime.path = "/nonexistent/runtime".into();
        }
        config.change(live);
        let findings = check(&config);
        let of = |what: &str| findings.iter().find(|finding| finding.what == what).unwrap();
        assert_eq!(of("the shim").verdict, Verdict::Good);
        let runtime = of("the runtime tare");
        assert_eq!(runtime.verdict, Verdict::Missing);
        assert!(runtime.detail.contains("/nonexistent/runtime"));
    }
}

//! What networks cost: ports published, networks made and joined, and what passes through them, of
//! `tared` and of the engines that it replaces.
//!
//! `./bench network` at the top of this repository builds what is measured and runs this; `./bench
//! network --help` names the flags. The peers, dockerd with iptables and podman with netavark, come
//! from a file tree (`--tree`). What is compared is measured in one run, in turn; ours is the first
//! of each list, and the others say what part of them that is. `NOTES.md` says what was learnt by it.
//!
//! It runs in namespaces of its own, with which all that it has started ends. It stops at the first
//! thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The other benches look at more of it.
#[allow(dead_code)]
#[path = "../shim/account.rs"]
mod account;
#[allow(dead_code)]
#[path = "../engine/api.rs"]
mod api;
#[path = "../shim/common.rs"]
mod common;
#[allow(dead_code)]
#[path = "../engine/engine.rs"]
mod engine;
mod load;
// Nor does it ask what all has cost.
#[allow(dead_code)]
#[path = "../shim/machine.rs"]
mod machine;
mod networks;
mod pinned;
#[path = "../shim/places.rs"]
mod places;
mod publish;
#[path = "../shim/report.rs"]
mod report;
mod settings;
mod traffic;
#[path = "../runtime/tree.rs"]
mod tree;

use report::Report;
use settings::{Part, Settings};

/// The host is a router already: an engine that makes it one lets it route for its own containers
/// alone, and those of the others would be cut off.
const ROUTER: &str = "/proc/sys/net/ipv4/ip_forward";

fn main() {
    if load::is_done() {
        return;
    }
    let settings = Settings::read();
    let Some(machine) = machine::inside(&settings.common) else { return };
    std::fs::write(ROUTER, "1").expect("make the host a router");
    let mut report = Report::new("network", settings.common.format);
    if settings.wants(Part::Publish) {
        publish::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Networks) {
        networks::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Traffic) {
        traffic::measure(&machine, &settings, &mut report);
    }
    report.finish();
}

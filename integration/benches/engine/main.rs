//! What users of an engine wait for: `tared`, beside the programs that it replaces.
//!
//! `./bench engine` at the top of this repository builds what is measured and runs this; `./bench
//! engine --help` names the flags. The peers, dockerd and podman, come from a file tree (`--tree`).
//! What is compared is measured in one run, in turn, so that a busy machine is as busy for each; ours
//! is the first of each list, and the others say what part of them that is. `NOTES.md` says what was
//! learnt by it.
//!
//! It runs in namespaces of its own, with which all that it has started ends. It stops at the first
//! thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The other benches look at more of it.
#[allow(dead_code)]
#[path = "../shim/account.rs"]
mod account;
mod api;
mod calls;
#[path = "../shim/common.rs"]
mod common;
mod crowd;
mod engine;
mod idle;
#[path = "../shim/machine.rs"]
mod machine;
mod many;
#[path = "../shim/places.rs"]
mod places;
#[path = "../shim/report.rs"]
mod report;
mod settings;
#[path = "../runtime/tree.rs"]
mod tree;
mod verbs;
// Nor is all weighed here.
#[allow(dead_code)]
#[path = "../shim/weight.rs"]
mod weight;

use report::Report;
use settings::{Part, Settings};

fn main() {
    let settings = Settings::read();
    let Some(machine) = machine::inside(&settings.common) else { return };
    let mut report = Report::new("engine", settings.common.format);
    if settings.wants(Part::Idle) {
        idle::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Verbs) {
        verbs::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Calls) {
        calls::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Crowd) {
        crowd::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Many) {
        many::measure(&machine, &settings, &mut report);
    }
    report.finish();
}

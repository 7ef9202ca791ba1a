//! What builds cost: `tared`, beside dockerd with `BuildKit`.
//!
//! `./bench build` at the top of this repository builds what is measured and runs this; `./bench build
//! --help` names the flags. dockerd and buildx come from a file tree (`--tree`). What is compared is
//! measured in one run, in turn; ours is the first of each list, and the others say what part of them
//! that is. `NOTES.md` says what was learnt by it.
//!
//! It runs in namespaces of its own, with which all that it has started ends. It stops at the first
//! thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The other benches look at more of it.
#[allow(dead_code)]
#[path = "../shim/account.rs"]
mod account;
mod client;
#[path = "../shim/common.rs"]
mod common;
mod crowd;
// Nor are containers run here, nor podman.
#[allow(dead_code)]
#[path = "../engine/engine.rs"]
mod engine;
// Nor does it ask what all has cost.
#[allow(dead_code)]
#[path = "../shim/machine.rs"]
mod machine;
#[path = "../shim/places.rs"]
mod places;
// Less is always better here.
#[allow(dead_code)]
#[path = "../shim/report.rs"]
mod report;
mod settings;
mod steps;
#[path = "../runtime/tree.rs"]
mod tree;

use report::Report;
use settings::{Part, Settings};

fn main() {
    let settings = Settings::read();
    let Some(machine) = machine::inside(&settings.common) else { return };
    let mut report = Report::new("build", settings.common.format);
    if settings.wants(Part::Steps) {
        steps::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Crowd) {
        crowd::measure(&machine, &settings, &mut report);
    }
    report.finish();
}

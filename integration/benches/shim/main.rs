//! What the shim costs, and what `tared` costs with it, beside the programs that they replace.
//!
//! `./bench shim` at the top of this repository builds what is measured and runs this; `./bench shim
//! --help` names the flags. Peers come from a file tree of their own (`--tree`): containerd with
//! containerd-shim-runc-v2 and `ctr`, conmon, dockerd, runc. All that is compared is measured in one
//! run, in turn; the first of each list is ours, and the others say what part of them that is.
//! `NOTES.md` says what was learnt by it.
//!
//! It runs in namespaces of its own, with which all that it has started ends. It stops at the first
//! thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod bundle;
mod calls;
mod common;
mod containerd;
mod daemon;
mod idle;
mod machine;
mod output;
mod places;
mod report;
mod settings;
mod shim;
#[path = "../runtime/tree.rs"]
mod tree;
mod ttrpc;
mod users;
mod weight;

use containerd::Containerd;
use report::Report;
use settings::{Part, Settings};

fn main() {
    let settings = Settings::read();
    let Some(machine) = machine::inside(&settings.common) else { return };
    let mut report = Report::new("shim", settings.common.format);
    if settings.wants(Part::Calls) {
        let _containerd = Containerd::start(&machine);
        calls::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Idle) {
        idle::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Output) {
        output::measure(&machine, &settings, &mut report);
    }
    if settings.wants(Part::Users) {
        users::measure(&machine, &settings, &mut report);
    }
    report.finish();
}

//! What images cost: pulled, loaded, saved, committed and listed, by `tared` and by the programs that
//! it replaces.
//!
//! `./bench images` at the top of this repository builds what is measured and runs this; `./bench
//! images --help` names the flags. The peers, dockerd, containerd and podman, come from a file tree
//! (`--tree`); the registry is Debian's `docker-registry` on the loopback. The images are made once,
//! of this machine's own files, and kept in the build directory. A pull goes to an empty store, and
//! contenders take turns; ours is the first of each list, and the others say what part of them that
//! is. `NOTES.md` says what was learnt by it.
//!
//! It runs in namespaces of its own, with which all that it has started ends. It stops at the first
//! thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../shim/account.rs"]
mod account;
mod archives;
mod commit;
#[path = "../shim/common.rs"]
mod common;
mod contender;
mod content;
mod library;
mod listing;
#[path = "../shim/machine.rs"]
mod machine;
mod memory;
#[path = "../shim/places.rs"]
mod places;
mod pulls;
mod registry;
// The other bench has figures of which more is better.
#[allow(dead_code)]
#[path = "../shim/report.rs"]
mod report;
mod rounds;
mod sets;
mod settings;
#[path = "../runtime/tree.rs"]
mod tree;

use library::Library;
use report::Report;
use settings::{Part, Settings};

fn main() {
    let settings = Settings::read();
    if let Some(scratch) = machine::scratch() {
        // What is only on the machine outside the peers' tree.
        library::show(&settings, &scratch);
    }
    let Some(machine) = machine::inside(&settings.common) else { return };
    let library = Library::open(&machine, &settings);
    let mut report = Report::new("images", settings.common.format);
    if settings.wants(Part::Pull) {
        pulls::measure(&library, &settings, &mut report);
    }
    if settings.wants(Part::Shared) {
        pulls::measure_shared(&library, &settings, &mut report);
    }
    if settings.wants(Part::Archives) {
        archives::measure(&library, &settings, &mut report);
    }
    if settings.wants(Part::Commit) {
        commit::measure(&library, &settings, &mut report);
    }
    if settings.wants(Part::List) {
        listing::measure(&library, &settings, &mut report);
    }
    report.finish();
}

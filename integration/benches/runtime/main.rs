//! What `tare` costs, beside other runtimes and beside the least that any could cost.
//!
//! `./bench` at the top of this repository builds what is measured and runs this; `./bench --help`
//! names the flags. All contenders run the same bundles in turn, each round in another order, so
//! that what else the machine does meets all of them alike; of each figure the least, the median
//! and the largest are shown. `NOTES.md` says what was learnt by it.
//!
//! It stops at the first thing that is wrong, so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bundle;
mod cases;
mod command;
mod contender;
mod figures;
mod memory;
mod report;
mod settings;
mod tree;

use bundle::{Bundle, Filter};
use contender::Contender;
use report::Report;
use settings::{Format, Settings};

fn main() {
    if let Some(status) = command::serve_as_witness() {
        std::process::exit(status);
    }
    let settings = Settings::read();
    assert!(rustix::process::geteuid().is_root(), "the bench needs root: it makes containers");
    let scratch = tempfile::Builder::new()
        .prefix("tare-bench-")
        .tempdir_in(&settings.scratch)
        .expect("make the scratch directory");
    let contenders = contender::gather(&settings, scratch.path());
    let plain = Bundle::make(scratch.path(), "plain", Filter::None);
    let filtered = Bundle::make(scratch.path(), "filtered", Filter::Docker);
    tree::enter(settings.tree.as_deref(), scratch.path());
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))
        .expect("become a subreaper");
    let contenders: Vec<Contender> = contenders.into_iter().filter(Contender::answers).collect();
    assert!(!contenders.is_empty(), "there is nothing to measure");

    let mut report = Report::new(&contenders);
    report.add("run", cases::run(&contenders, &plain, settings.rounds()));
    report.add("run, docker's seccomp", cases::run(&contenders, &filtered, settings.rounds()));
    for (name, times) in cases::steps(&contenders, &plain, settings.rounds()) {
        report.add(name, times);
    }
    report.crowd = cases::crowd(&contenders, &plain, settings.crowd(), settings.rounds());
    report.peak = memory::peak(&contenders, &plain);
    report.limit = memory::smallest_limit(&contenders, &plain);
    match settings.format {
        Format::Table => report.print_table(),
        Format::Json => report.print_json(),
    }
}

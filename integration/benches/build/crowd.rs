//! A context of many files: sent for the first time, and again when nothing in it has changed.

use std::path::Path;

use tare_integration::turns::{Rounds, in_turns};

use crate::client::Client;
use crate::engine::Engine;
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Files in one directory.
const IN_ONE: usize = 500;

/// Measures both, by buildx: other clients always send all of it. The Dockerfile, which is not in the
/// context, changes each time, so that all engines look at that.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines());
    let rounds = Rounds { warm_up: 0, counted: settings.rounds() };
    let all = in_turns(&mut engines, rounds, |engine, round| {
        ok(&mut engine.command("builder prune --all --force"));
        let name = format!("crowd-{}-{round}", engine.kind.name());
        let context = machine.directory(&name);
        fill(&context, settings.files());
        let file = machine.path("crowd.Dockerfile");
        let flag = format!("--file={}", file.display());
        let [first, again] = ["first", "again"].map(|label| {
            let text = format!("FROM scratch\nLABEL time={label}\nCOPY . /\n");
            std::fs::write(&file, text).expect("write a Dockerfile");
            Client::Buildx.build(engine, &context, &[&flag])
        });
        std::fs::remove_dir_all(&context).expect("remove a context");
        [first, again]
    });
    for (at, time) in ["first", "again, unchanged"].into_iter().enumerate() {
        let figures = engines.iter().zip(&all).map(|(engine, rounds)| {
            (engine.kind.name(), rounds.iter().map(|round| round[at]).collect::<Vec<_>>())
        });
        let what = format!("buildx: a context of {} files, {time}", settings.files());
        report.add(what, "ms", Better::Less, figures);
    }
}

fn fill(context: &Path, count: usize) {
    for number in 0..count {
        let directory = context.join((number / IN_ONE).to_string());
        if number % IN_ONE == 0 {
            std::fs::create_dir_all(&directory).expect("make a directory");
        }
        std::fs::write(directory.join(number.to_string()), number.to_string())
            .expect("write a file");
    }
}

//! Builds of a few steps: nothing has changed, a late line has, or all is to be done.

use std::fmt::Write;
use std::path::Path;

use tare_integration::turns::{Rounds, in_turns};

use crate::client::Client;
use crate::engine::{Engine, IMAGE};
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds that come before those that count.
const WARM_UP: usize = 1;
/// How many commands the long file has.
const COMMANDS: usize = 10;
/// What is measured, in the order in which a round does it.
const BUILDS: [&str; 4] = [
    "five steps, cached",
    "five steps, a late line changed",
    "five steps, anew",
    "ten commands, anew",
];

/// Measures them, by either client.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines());
    let (few, many) = (machine.directory("few"), machine.directory("many"));
    write_few(&few, 0);
    write_many(&many);
    for client in Client::ALL {
        let rounds = Rounds { warm_up: WARM_UP, counted: settings.rounds() };
        let mut changes = 0;
        let all = in_turns(&mut engines, rounds, |engine, _| {
            client.build(engine, &few, &[]);
            let cached = client.build(engine, &few, &[]);
            changes += 1;
            write_few(&few, changes);
            let changed = client.build(engine, &few, &[]);
            let anew = client.build(engine, &few, &["--no-cache"]);
            [cached, changed, anew, client.build(engine, &many, &["--no-cache"])]
        });
        for (at, what) in BUILDS.iter().enumerate() {
            let figures = engines.iter().zip(&all).map(|(engine, rounds)| {
                (engine.kind.name(), rounds.iter().map(|round| round[at]).collect::<Vec<_>>())
            });
            report.add(format!("{}: {what}", client.name()), "ms", Better::Less, figures);
        }
    }
}

/// Five steps, the last but one of which says how often the file was changed.
fn write_few(directory: &Path, changes: usize) {
    std::fs::write(directory.join("file"), "content").expect("write a file");
    let text = format!(
        "FROM {IMAGE}\nCOPY file /first\nRUN echo one > /one\nENV A=b\nRUN echo {changes} > /two\n\
         COPY file /last\n"
    );
    std::fs::write(directory.join("Dockerfile"), text).expect("write a Dockerfile");
}

fn write_many(directory: &Path) {
    let mut text = format!("FROM {IMAGE}\n");
    for number in 0..COMMANDS {
        let _ = writeln!(text, "RUN echo {number} > /{number}");
    }
    std::fs::write(directory.join("Dockerfile"), text).expect("write a Dockerfile");
}

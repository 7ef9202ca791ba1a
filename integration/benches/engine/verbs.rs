//! Commands of a user, one at a time, by the command line.

use std::time::Instant;

use tare_integration::turns::{Rounds, in_turns};

use crate::engine::{Engine, Kind};
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds that come before those that count.
const WARM_UP: usize = 2;

/// What is measured, in the order in which a round does it.
const VERBS: [&str; 6] = [
    "run --rm of true",
    "run --rm of true, --network none",
    "run -d",
    "exec of true",
    "rm -f",
    "ps",
];

/// What one round took, in milliseconds.
struct Round {
    /// A command that asks next to nothing of the engine.
    floor: f64,
    /// In the order of [`VERBS`].
    verbs: Vec<f64>,
}

/// Measures them, with as many containers running as `ps` is to list.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines(&Kind::ALL));
    for engine in &engines {
        (0..settings.crowd()).for_each(|_| drop(engine.run("--detach", &["sleep", "100000"])));
    }
    let rounds = Rounds { warm_up: WARM_UP, counted: settings.rounds() };
    let all = in_turns(&mut engines, rounds, |engine, _| round(engine));
    let mut add = |what: String, pick: &dyn Fn(&Round) -> f64| {
        let figures = engines.iter().zip(&all).map(|(engine, rounds)| {
            (engine.kind.name(), rounds.iter().map(pick).collect::<Vec<_>>())
        });
        report.add(what, "ms", Better::Less, figures);
    };
    add("version, for comparison".to_owned(), &|round| round.floor);
    for (at, verb) in VERBS.iter().enumerate() {
        let verb = match *verb {
            "ps" => format!("ps with {} running", settings.crowd()),
            verb => verb.to_owned(),
        };
        add(verb.clone(), &|round| round.verbs[at]);
        add(format!("{verb}, without the command line"), &|round| round.verbs[at] - round.floor);
    }
}

fn round(engine: &Engine) -> Round {
    let timed = |work: &dyn Fn()| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1000.0
    };
    let command = |words: &'static str| timed(&|| drop(ok(&mut engine.command(words))));
    let run = |flags: &'static str, program: &[&str]| timed(&|| drop(engine.run(flags, program)));
    let floor = command("version");
    let verbs = vec![
        run("--rm", &["true"]),
        run("--rm --network=none", &["true"]),
        run("--detach --name=measured", &["sleep", "100000"]),
        command("exec measured true"),
        timed(&|| drop(ok(&mut engine.remove_by_force("measured")))),
        command("ps"),
    ];
    Round { floor, verbs }
}

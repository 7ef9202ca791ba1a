//! The same as the commands, by the API: what is left of them without a command line.

use std::time::Instant;

use serde_json::json;

use tare_integration::turns::{Rounds, in_turns};

use crate::api;
use crate::engine::{Engine, Kind};
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds that come before those that count.
const WARM_UP: usize = 2;

/// What is measured, in the order in which a round does it.
const CALLS: [&str; 9] = [
    "run --rm of true",
    "run --rm of true, --network none",
    "run -d: create",
    "run -d: start",
    "exec of true",
    "inspect",
    "ps",
    "rm -f",
    "rm of what has not run",
];

/// Measures them.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines(&Kind::DAEMONS));
    for engine in &engines {
        (0..settings.crowd()).for_each(|_| drop(engine.run("--detach", &["sleep", "100000"])));
    }
    let rounds = Rounds { warm_up: WARM_UP, counted: settings.rounds() };
    let all = in_turns(&mut engines, rounds, |engine, _| round(engine));
    for (at, call) in CALLS.iter().enumerate() {
        let figures = engines.iter().zip(&all).map(|(engine, rounds)| {
            (engine.kind.name(), rounds.iter().map(|round| round[at]).collect::<Vec<_>>())
        });
        let beside = settings.crowd();
        report.add(format!("API, {beside} others run: {call}"), "ms", Better::Less, figures);
    }
}

fn round(engine: &Engine) -> [f64; CALLS.len()] {
    let (run, _) = timed(|| api::run_and_remove(engine, &json!({ "AutoRemove": true })));
    let alone = json!({ "AutoRemove": true, "NetworkMode": "none" });
    let (run_alone, _) = timed(|| api::run_and_remove(engine, &alone));
    let (create, id) = timed(|| api::create(engine, &["sleep", "100000"], &json!({})));
    let (start, _) = timed(|| api::start(engine, &id));
    let (exec, _) = timed(|| api::exec(engine, &id, &["true"]));
    let (inspect, _) = timed(|| api::get(engine, &format!("/containers/{id}/json")));
    let (list, _) = timed(|| api::get(engine, "/containers/json"));
    let (remove, _) = timed(|| api::remove(engine, &id));
    let idle = api::create(engine, &["true"], &json!({}));
    let (remove_idle, _) = timed(|| api::remove(engine, &idle));
    [run, run_alone, create, start, exec, inspect, list, remove, remove_idle]
}

/// Milliseconds, and what came of it.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed().as_secs_f64() * 1000.0, result)
}

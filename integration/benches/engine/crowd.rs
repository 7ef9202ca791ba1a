//! Many containers made, started and removed at once, by the API.

use std::time::Instant;

use serde_json::json;

use tare_integration::turns::{Rounds, in_turns};

use crate::api;
use crate::engine::{Engine, Kind};
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// How often.
const ROUNDS: Rounds = Rounds { warm_up: 1, counted: 5 };

/// Measures how many of each are done in a second.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines(&Kind::DAEMONS));
    let all = in_turns(&mut engines, ROUNDS, |engine, _| round(engine, settings.crowd()));
    for (at, what) in ["created", "started", "removed while they run"].into_iter().enumerate() {
        let figures = engines.iter().zip(&all).map(|(engine, rounds)| {
            (engine.kind.name(), rounds.iter().map(|rates| rates[at]).collect::<Vec<_>>())
        });
        let what = format!("{} containers {what} at once", settings.crowd());
        report.add(what, "per second", Better::More, figures);
    }
}

fn round(engine: &Engine, count: usize) -> [f64; 3] {
    let host = json!({});
    let (ids, created) =
        at_once(vec![(); count], |()| api::create(engine, &["sleep", "100000"], &host));
    let (_, started) = at_once(ids.clone(), |id| api::start(engine, &id));
    let (_, removed) = at_once(ids, |id| api::remove(engine, &id));
    [created, started, removed]
}

/// Does `work` with each of these at the same time; gives what came of it, and how many were done in
/// a second.
pub(crate) fn at_once<T: Send, R: Send>(
    these: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> (Vec<R>, f64) {
    let (count, work) = (these.len(), &work);
    let begun = Instant::now();
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = these.into_iter().map(|one| scope.spawn(move || work(one))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it succeeds")).collect()
    });
    (results, count as f64 / begun.elapsed().as_secs_f64())
}

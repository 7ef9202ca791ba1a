//! Many containers made, started and removed at once, by the API.

use std::time::Instant;

use serde_json::json;

use crate::api;
use crate::engine::{Engine, Kind};
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds; the first doesn't count.
const ROUNDS: usize = 6;

/// Measures how many of each are done in a second.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let engines = Engine::open_all(machine, settings.engines(&Kind::DAEMONS));
    let mut all: Vec<[Vec<f64>; 3]> = engines.iter().map(|_| Default::default()).collect();
    for number in 0..ROUNDS {
        for turn in 0..engines.len() {
            let at = (number + turn) % engines.len();
            let rates = round(&engines[at], settings.crowd());
            if number > 0 {
                all[at].iter_mut().zip(rates).for_each(|(figures, rate)| figures.push(rate));
            }
        }
    }
    for (at, what) in ["created", "started", "removed while they run"].into_iter().enumerate() {
        let figures = engines.iter().zip(&all);
        let figures = figures.map(|(engine, figures)| (engine.kind.name(), figures[at].clone()));
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

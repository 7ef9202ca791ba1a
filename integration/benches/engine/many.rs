//! A daemon that has many containers, half of which run.

use serde_json::json;
use tare_integration::http;

use crate::account::Cost;
use crate::api;
use crate::crowd::at_once;
use crate::engine::{Engine, Kind, STUCK};
use crate::idle;
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// How many are made at the same time.
const AT_ONCE: usize = 20;
/// How often the daemon is started anew.
const STARTS: usize = 5;

/// What was measured of one daemon, in milliseconds.
#[derive(Default)]
struct Figures {
    list_all: Vec<f64>,
    list_running: Vec<f64>,
    inspect: Vec<f64>,
    inspect_beside_stuck: Vec<f64>,
    start: Vec<f64>,
    idle_cpu: Vec<f64>,
    /// MiB.
    idle_memory: Vec<f64>,
}

/// Measures the daemons one after the other.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let kinds = settings.engines(&Kind::DAEMONS).into_iter();
    let all: Vec<_> = kinds.map(|kind| (kind.name(), look(machine, settings, kind))).collect();
    let count = settings.many();
    let mut add = |what: &str, unit, of: fn(&Figures) -> &Vec<f64>| {
        let figures = all.iter().map(|(name, figures)| (*name, of(figures).clone()));
        report.add(format!("{what}, {count} containers"), unit, Better::Less, figures);
    };
    add("list of all", "ms", |figures| &figures.list_all);
    add("list of those that run", "ms", |figures| &figures.list_running);
    add("inspect", "ms", |figures| &figures.inspect);
    add("inspect while another's start hangs", "ms", |figures| &figures.inspect_beside_stuck);
    add("daemon's start to its first answer", "ms", |figures| &figures.start);
    add("daemon's memory (PSS)", "MiB", |figures| &figures.idle_memory);
    add("processor time in ten idle seconds", "ms", |figures| &figures.idle_cpu);
}

fn look(machine: &Machine, settings: &Settings, kind: Kind) -> Figures {
    let mut engine = Engine::open(machine, kind);
    let mut figures = Figures::default();
    let ids = fill(&engine, settings.many());
    let socket = engine.socket();
    let ask = |path: &str, figures: &mut Vec<f64>| {
        for _ in 0..settings.rounds() {
            figures.push(api::timed(&socket, path).0.as_secs_f64() * 1000.0);
        }
    };
    let listed = api::timed(&socket, "/containers/json?all=1").1.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(settings.many()), "all are listed");
    ask("/containers/json?all=1", &mut figures.list_all);
    ask("/containers/json", &mut figures.list_running);
    let inspect = format!("/containers/{}/json", ids[0]);
    ask(&inspect, &mut figures.inspect);
    for _ in 0..STARTS {
        engine.stop();
        figures.start.push(engine.start().as_secs_f64() * 1000.0);
    }
    let Cost { cpu, .. } = idle::rest(machine);
    figures.idle_cpu.push(cpu);
    figures.idle_memory.push(idle::memory(kind));

    let stuck = api::create(&engine, &["true"], &json!({ "Runtime": STUCK }));
    std::thread::scope(|scope| {
        let (path, at) = (format!("/containers/{stuck}/start"), engine.socket());
        // It is broken off when the daemon ends.
        let start = scope.spawn(move || drop(http::post(&at, &path, "")));
        std::thread::sleep(idle::SETTLING);
        ask(&inspect, &mut figures.inspect_beside_stuck);
        engine.kill();
        let _ = start.join();
    });
    engine.start();
    remove_all(&engine, ids);
    figures
}

/// Makes the containers, and starts every other one.
fn fill(engine: &Engine, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let numbers: Vec<_> = (ids.len()..count.min(ids.len() + AT_ONCE)).collect();
        ids.extend(
            at_once(numbers, |number| {
                let id = api::create(engine, &["sleep", "100000"], &json!({}));
                if number % 2 == 0 {
                    api::start(engine, &id);
                }
                id
            })
            .0,
        );
    }
    ids
}

fn remove_all(engine: &Engine, ids: Vec<String>) {
    for ids in ids.chunks(AT_ONCE) {
        at_once(ids.to_vec(), |id| api::remove(engine, &id));
    }
}

//! Containers that publish ports, while none or many are published by others.

use std::ops::Range;
use std::time::Instant;

use tare_integration::turns::{Rounds, in_turns};

use crate::api;
use crate::engine::{Engine, IMAGE, Kind};
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds that come before those that count.
const WARM_UP: usize = 2;
/// As many ports as a container publishes that publishes some.
const SOME: u16 = 32;

/// How long starts took, in milliseconds.
struct Starts {
    without: f64,
    with_one: f64,
    with_some: f64,
}

/// Measures starts of containers without ports, with one, and with some.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines());
    let rounds = Rounds { warm_up: WARM_UP, counted: settings.rounds() };
    let few = in_turns(&mut engines, rounds, |engine, _| round(engine));
    let owners: Vec<_> = engines.iter().map(|engine| fill(engine, settings.ports - 1)).collect();
    let many = in_turns(&mut engines, rounds, |engine, _| round(engine));
    for (engine, owner) in engines.iter().zip(owners) {
        ok(&mut engine.remove_by_force(&owner));
    }
    let mut add = |what: String, all: &[Vec<Starts>], of: &dyn Fn(&Starts) -> f64| {
        let figures = engines.iter().zip(all).map(|(engine, starts)| {
            (engine.kind.name(), starts.iter().map(of).collect::<Vec<_>>())
        });
        report.add(what, "ms", Better::Less, figures);
    };
    let others = settings.ports - 1;
    for (beside, starts) in [(0, &few), (others, &many)] {
        let text = |what: &str| format!("start {what}, {beside} ports of others");
        add(text("without a port"), starts, &|starts| starts.without);
        add(text("with one port"), starts, &|starts| starts.with_one);
        add(text(&format!("with {SOME} ports")), starts, &|starts| starts.with_some);
        add(text(&format!("with {SOME} ports, beyond one without")), starts, &|starts| {
            starts.with_some - starts.without
        });
    }
}

fn round(engine: &Engine) -> Starts {
    let first = first_port(engine.kind);
    let [without, with_one, with_some] =
        [0, 1, SOME].map(|count| start_once(engine, first..first + count));
    Starts { without, with_one, with_some }
}

/// The lowest of an engine's own ports: all of them are on one host.
fn first_port(kind: Kind) -> u16 {
    match kind {
        Kind::Tared => 4000,
        Kind::Dockerd => 10000,
        Kind::Podman => 20000,
    }
}

/// Milliseconds that the start of a container with these ports takes. By the API, where there is one.
fn start_once(engine: &Engine, ports: Range<u16>) -> f64 {
    let id = create(engine, ports);
    let begun = Instant::now();
    match engine.kind {
        Kind::Tared | Kind::Dockerd => api::start(engine, &id),
        Kind::Podman => drop(ok(engine.command("start").arg(&id))),
    }
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    ok(&mut engine.remove_by_force(&id));
    took
}

/// A container that publishes so many ports, in ranges that no other has, and runs.
fn fill(engine: &Engine, count: u16) -> String {
    let first = first_port(engine.kind) + SOME;
    let id = create(engine, first..first + count);
    ok(engine.command("start").arg(&id));
    id
}

fn create(engine: &Engine, ports: Range<u16>) -> String {
    let mut create = engine.command("create");
    for port in ports {
        create.arg(format!("--publish={port}:{port}"));
    }
    ok(create.arg(IMAGE).args(["sleep", "100000"]))
}

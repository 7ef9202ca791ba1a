//! Networks made, joined, left and removed, while few or many others are there.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tare_integration::http;
use tare_integration::turns::{Rounds, in_turns};

use crate::engine::{Engine, Kind};
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Rounds that come before those that count.
const WARM_UP: usize = 2;
/// What is measured, in the order in which a round does it.
const CALLS: [&str; 4] = ["create", "connect a container", "disconnect it", "remove"];
/// The network that is measured.
const NAME: &str = "measured";
/// The container that joins.
const CONTAINER: &str = "joining";

/// Measures them: by the API, where there is one.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut engines = Engine::open_all(machine, settings.engines());
    for engine in &engines {
        engine.run(&format!("--detach --name={CONTAINER}"), &["sleep", "100000"]);
    }
    let rounds = Rounds { warm_up: WARM_UP, counted: settings.rounds() };
    let few = in_turns(&mut engines, rounds, |engine, _| round(engine));
    for engine in &engines {
        (0..settings.networks).for_each(|number| create(engine, &format!("other{number}"), number));
    }
    let many = in_turns(&mut engines, rounds, |engine, _| round(engine));
    for engine in &engines {
        (0..settings.networks).for_each(|number| remove(engine, &format!("other{number}")));
        ok(&mut engine.remove_by_force(CONTAINER));
    }
    for (others, all) in [(0, &few), (settings.networks, &many)] {
        for (at, call) in CALLS.iter().enumerate() {
            let figures = engines.iter().zip(all).map(|(engine, rounds)| {
                (engine.kind.name(), rounds.iter().map(|round| round[at]).collect::<Vec<_>>())
            });
            report.add(format!("network: {call}, {others} others"), "ms", Better::Less, figures);
        }
    }
}

/// What each of the calls takes, in milliseconds.
fn round(engine: &Engine) -> [f64; CALLS.len()] {
    [
        timed(|| create(engine, NAME, u8::MAX)),
        timed(|| join_or_leave(engine, "connect")),
        timed(|| join_or_leave(engine, "disconnect")),
        timed(|| remove(engine, NAME)),
    ]
}

fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1000.0
}

/// A network with the subnet of this number, which no other engine has.
fn create(engine: &Engine, name: &str, number: u8) {
    let block = match engine.kind {
        Kind::Tared => 61,
        Kind::Dockerd => 62,
        Kind::Podman => 63,
    };
    let subnet = format!("10.{block}.{number}.0/24");
    match engine.kind {
        Kind::Tared | Kind::Dockerd => {
            let body = json!({ "Name": name, "IPAM": { "Config": [{ "Subnet": subnet }] } });
            post(&engine.socket(), "/networks/create", &body.to_string());
        }
        Kind::Podman => drop(ok(engine.command("network create --subnet").args([&subnet, name]))),
    }
}

fn join_or_leave(engine: &Engine, verb: &str) {
    match engine.kind {
        Kind::Tared | Kind::Dockerd => {
            let body = json!({ "Container": CONTAINER });
            post(&engine.socket(), &format!("/networks/{NAME}/{verb}"), &body.to_string());
        }
        Kind::Podman => drop(ok(engine.command("network").args([verb, NAME, CONTAINER]))),
    }
}

fn remove(engine: &Engine, name: &str) {
    match engine.kind {
        Kind::Tared | Kind::Dockerd => {
            let answer = http::delete(&engine.socket(), &format!("/networks/{name}"));
            assert_eq!(answer.expect("ask the daemon").status, 204);
        }
        Kind::Podman => drop(ok(engine.command("network rm").arg(name))),
    }
}

fn post(socket: &Path, path: &str, body: &str) {
    let answer = http::post(socket, path, body).expect("ask the daemon");
    assert!(matches!(answer.status, 200 | 201), "{}{}", answer.head, answer.body);
}

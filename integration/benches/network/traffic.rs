//! What passes between the host, another host and containers.

use std::net::SocketAddr;
use std::path::PathBuf;

use tare_integration::turns::{Rounds, in_turns};

use crate::engine::{Engine, Kind};
use crate::load::{Rates, ask, serve};
use crate::machine::{Machine, ok};
use crate::pinned::{HOST, OtherHost, inside};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// Where containers serve.
const PORT: u16 = 80;

/// The ways to a container.
const WAYS: [&str; 4] = [
    "another host to a published port",
    "the host to a port published on 127.0.0.1",
    "the host to a container's address",
    "container to container",
];

/// An engine with a container that serves, and one that asks.
struct Pair {
    engine: Engine,
    /// The host's port that leads to the server.
    published: u16,
    server: SocketAddr,
    client: PathBuf,
}

/// Measures all ways.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let other = OtherHost::open();
    let mut pairs: Vec<_> =
        Engine::open_all(machine, settings.engines()).into_iter().map(Pair::open).collect();
    let rounds = Rounds { warm_up: 0, counted: settings.rounds() };
    let all = in_turns(&mut pairs, rounds, |pair, _| pair.ask_by_all_ways(&other, settings));
    for (at, way) in WAYS.iter().enumerate() {
        let mut add = |what: &str, unit, of: fn(&Rates) -> f64| {
            let figures = pairs.iter().zip(&all).map(|(pair, rounds)| {
                let figures = rounds.iter().map(|round| of(&round[at])).collect::<Vec<_>>();
                (pair.engine.kind.name(), figures)
            });
            report.add(format!("{way}: {what}"), unit, Better::More, figures);
        };
        add("a stream", "gigabits per second", |rates| rates.gigabits);
        add("questions on a connection", "per second", |rates| rates.answers);
        add("connections", "per second", |rates| rates.connections);
    }
    for pair in &pairs {
        pair.close();
    }
}

impl Pair {
    fn open(engine: Engine) -> Pair {
        let published = match engine.kind {
            Kind::Tared => 4080,
            Kind::Dockerd => 10080,
            Kind::Podman => 20080,
        };
        let ports = format!("--publish={published}:{PORT}");
        engine.run(&format!("--detach --name=server {ports}"), &["sleep", "100000"]);
        engine.run("--detach --name=client", &["sleep", "100000"]);
        inside(&namespace(&engine, "server"), || serve(PORT)).join().expect("it serves");
        let address =
            tell(&engine, "server", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let server = SocketAddr::new(address.parse().expect("an address"), PORT);
        let client = namespace(&engine, "client");
        Pair { engine, published, server, client }
    }

    fn ask_by_all_ways(&self, other: &OtherHost, settings: &Settings) -> [Rates; WAYS.len()] {
        let time = settings.time();
        let at = |host: &str| SocketAddr::new(host.parse().expect("an address"), self.published);
        let (from_outside, on_loopback, direct) = (at(HOST), at("127.0.0.1"), self.server);
        [
            inside(&other.namespace(), move || ask(from_outside, time)).join().expect("it answers"),
            ask(on_loopback, time),
            ask(direct, time),
            inside(&self.client, move || ask(direct, time)).join().expect("it answers"),
        ]
    }

    fn close(&self) {
        for name in ["server", "client"] {
            ok(&mut self.engine.remove_by_force(name));
        }
    }
}

fn namespace(engine: &Engine, container: &str) -> PathBuf {
    format!("/proc/{}/ns/net", tell(engine, container, "{{.State.Pid}}")).into()
}

fn tell(engine: &Engine, container: &str, format: &str) -> String {
    ok(engine.command("inspect --format").args([format, container]))
}

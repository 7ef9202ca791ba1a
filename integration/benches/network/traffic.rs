//! What passes between the host, another host and containers.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tare_integration::turns::{Rounds, in_turns};
use tare_integration::wait::until_true;

use crate::engine::{Engine, Kind};
use crate::load::{ASK, Figure, Figures, KINDS, SERVE, ask, figures};
use crate::machine::{Machine, ok};
use crate::pinned::{HOST, OtherHost, inside};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// A copy of this program, for containers.
const LOAD: &str = "load";

/// Where containers have it.
const PROGRAM: &str = "/load";

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
}

/// Measures all ways.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    std::fs::copy("/proc/self/exe", machine.path(LOAD)).expect("copy this program");
    let other = OtherHost::open();
    let mut pairs: Vec<_> = Engine::open_all(machine, settings.engines())
        .into_iter()
        .map(|engine| Pair::open(machine, engine))
        .collect();
    let rounds = Rounds { warm_up: 0, counted: settings.rounds() };
    let all = in_turns(&mut pairs, rounds, |pair, _| pair.ask_by_all_ways(&other, settings));
    for (way, name) in WAYS.iter().enumerate() {
        for (kind, asked) in KINDS.iter().enumerate() {
            let mut add = |what: String, unit, better, of: fn(&Figure) -> f64| {
                let contenders = pairs.iter().zip(&all).map(|(pair, rounds)| {
                    let figures = rounds.iter().map(|round| of(&round[way][kind]));
                    (pair.engine.kind.name(), figures.collect::<Vec<_>>())
                });
                report.add(format!("{name}: {what}"), unit, better, contenders);
            };
            add(asked.name.to_owned(), asked.unit, Better::More, |figure| figure.rate);
            let cost = format!("what a {} costs", asked.each);
            add(cost, "µs of a processor", Better::Less, |figure| figure.cost);
        }
    }
    for pair in &pairs {
        pair.close();
    }
}

impl Pair {
    fn open(machine: &Machine, engine: Engine) -> Pair {
        let published = match engine.kind {
            Kind::Tared => 4080,
            Kind::Dockerd => 10080,
            Kind::Podman => 20080,
        };
        let program = machine.path(LOAD);
        let volume = format!("--volume={}:{PROGRAM}:ro", program.display());
        let server = format!("--detach --name=server {volume} --publish={published}:{PORT}");
        engine.run(&server, &[PROGRAM, SERVE, &PORT.to_string()]);
        engine.run(&format!("--detach --name=client {volume}"), &["sleep", "100000"]);
        let address =
            tell(&engine, "server", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let server = SocketAddr::new(address.parse().expect("an address"), PORT);
        await_server(server);
        Pair { engine, published, server }
    }

    fn ask_by_all_ways(&self, other: &OtherHost, settings: &Settings) -> [Figures; WAYS.len()] {
        let time = settings.time();
        let at = |host: &str| SocketAddr::new(host.parse().expect("an address"), self.published);
        let (from_outside, on_loopback, direct) = (at(HOST), at("127.0.0.1"), self.server);
        [
            inside(&other.namespace(), move || ask(from_outside, time)).join().expect("it answers"),
            ask(on_loopback, time),
            ask(direct, time),
            figures(&self.have_container_ask(time)),
        ]
    }

    /// What the client in a container says.
    fn have_container_ask(&self, time: Duration) -> String {
        let (server, millis) = (self.server.to_string(), time.as_millis().to_string());
        let words = [PROGRAM, ASK, &server, &millis];
        ok(self.engine.command("exec client").args(words))
    }

    fn close(&self) {
        for name in ["server", "client"] {
            ok(&mut self.engine.remove_by_force(name));
        }
    }
}

/// Its program begins to listen a moment after the container has started.
fn await_server(server: SocketAddr) {
    until_true("the server listens", || TcpStream::connect(server).is_ok());
}

fn tell(engine: &Engine, container: &str, format: &str) -> String {
    ok(engine.command("inspect --format").args([format, container]))
}

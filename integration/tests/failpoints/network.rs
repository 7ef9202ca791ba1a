//! Networks: `tared` is killed while it makes, connects, disconnects or removes one. What ran has its
//! network, what it knows is what there is, and what was begun can be done again.

use std::path::Path;

use tare_integration::Host;
use tare_integration::footprint::Footprint;
use tare_integration::http::{self, Answer};
use tare_integration::wait::until_true;

use crate::tracer::{End, Tracer, Victim};
use crate::{Tried, round};

/// What is done to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is made.
    Make,
    /// A container that runs is connected.
    Connect,
    /// It is disconnected.
    Disconnect,
    /// The network is removed.
    Unmake,
}

/// A web server on the default network, with a published port.
const SERVER: &str = "run -d --name web -p 8080:80 busybox \
    sh -c 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www -p 80'";
const WEB: &str = r#"{"Container":"web"}"#;

impl Tried for Change {
    fn count(&self, host: &Host) -> usize {
        self.prepare(host);
        let tracer = Tracer::start(vec![host.daemon_process()], Victim::Daemon, usize::MAX);
        let answer = self.perform(&host.places().socket);
        let (_, steps) = tracer.finish();
        assert!(answer.is_some_and(|answer| answer.status < 300), "{self:?}");
        self.take_away(host);
        steps
    }

    fn run(&self, host: &Host, before: &Footprint, step: usize) -> End {
        self.prepare(host);
        let tracer = Tracer::start(vec![host.daemon_process()], Victim::Daemon, step);
        let answer = self.perform(&host.places().socket);
        let (end, _) = tracer.finish();
        let what = format!("{self:?} at step {step}: {end:?}, {}", round::told(answer.as_ref()));
        eprintln!("{what}");
        if end != End::Done {
            host.renew_daemon();
        }
        self.holds(host, answer.as_ref(), &what);
        use_it(host, &what);
        self.take_away(host);
        host.leaves_nothing_since(before);
        end
    }

    fn clean_up(&self, host: &Host) {
        round::clean_up(host);
        host.delete("/networks/net");
    }
}

impl Change {
    fn prepare(self, host: &Host) {
        host.docker(SERVER).ok();
        if self != Self::Make {
            host.docker("network create net").ok();
        }
        if self == Self::Disconnect {
            host.docker("network connect net web").ok();
        }
    }

    /// Asks for it, and waits for the answer: `None` if the connection breaks off.
    fn perform(self, socket: &Path) -> Option<Answer> {
        let answer = match self {
            Self::Make => http::post(socket, "/networks/create", r#"{"Name":"net"}"#),
            Self::Connect => http::post(socket, "/networks/net/connect", WEB),
            Self::Disconnect => http::post(socket, "/networks/net/disconnect", WEB),
            Self::Unmake => http::delete(socket, "/networks/net"),
        };
        answer.ok().filter(|answer| answer.status != 0)
    }

    /// Requires that the container has what is said of it, and that an answer was true.
    fn holds(self, host: &Host, answer: Option<&Answer>, what: &str) {
        until_true(&format!("{what}: its page"), || {
            host.fetch("http://127.0.0.1:8080/") == "page\n"
        });
        let (there, connected) = (is_there(host), is_connected(host));
        let told = answer.is_some_and(|answer| answer.status < 300);
        let fits = match self {
            Self::Make => (there || !told) && !connected,
            Self::Connect => there && (connected || !told),
            Self::Disconnect => there && (!connected || !told),
            Self::Unmake => (!there || !told) && !connected,
        };
        assert!(fits, "{what}: network there: {there}, connected: {connected}");
        until_true(&format!("{what}: an interface for each of its networks"), || {
            let interfaces = host.docker("exec web ls /sys/class/net").stdout;
            interfaces.matches("eth").count() == 1 + usize::from(connected)
        });
    }

    fn take_away(self, host: &Host) {
        until_true(&format!("{self:?}: the removal"), || {
            let gone = |path: &str| [204, 404].contains(&host.delete(path).status);
            gone("/containers/web?force=1") && gone("/networks/net")
        });
    }
}

fn is_there(host: &Host) -> bool {
    host.get("/networks/net").status == 200
}

fn is_connected(host: &Host) -> bool {
    let container = host.get("/containers/web/json").json();
    container["NetworkSettings"]["Networks"].get("net").is_some()
}

/// Does what was begun, and has another container ask the one by its name.
fn use_it(host: &Host, what: &str) {
    if !is_there(host) {
        host.docker("network create net").ok();
    }
    if !is_connected(host) {
        host.docker("network connect net web").ok();
    }
    let page = host.docker("run --rm --network net busybox wget -qO- http://web/");
    assert_eq!(page.stdout, "page\n", "{what}: {page:?}");
}

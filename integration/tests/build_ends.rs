//! Builds that end early, and those that go on at the same time.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use tare_integration::buildx::context;
use tare_integration::{Host, http, on_building_host, until};

fn with(host: &Host, name: &str, dockerfile: &str) -> String {
    context(host, name, &[("Dockerfile", dockerfile)]).display().to_string()
}

/// Empties the cache and the history.
fn forget(host: &Host) {
    host.docker("buildx prune --all --force").ok();
    host.docker("buildx history rm --all").ok();
}

#[test]
fn one_that_is_interrupted_leaves_nothing() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM busybox\nRUN echo begun; touch /x; sleep 1000\n");
        host.docker(&format!("build -q {}", with(host, "first", "FROM busybox\nRUN true\n"))).ok();
        forget(host);
        let before = host.footprint();
        let building = host.docker_running(&format!("build --progress plain {from}"));
        until("the step", || building.stderr().contains("begun").then_some(()));
        building.signal(Signal::INT);
        building.wait().stderr_has("cancel");
        until("the record of it", || {
            let record = host.docker("buildx history inspect");
            record.stdout.contains("Canceled").then_some(())
        });
        forget(host);
        host.leaves_nothing_since(&before);
        let killed = host.docker_running(&format!("build --progress plain {from}"));
        until("the step", || killed.stderr().contains("begun").then_some(()));
        killed.signal(Signal::KILL);
        until("its container's end", || {
            (!host.run("ps", &["-e", "-o", "args="]).ok().contains("sleep 1000")).then_some(())
        });
        until("the record of it", || {
            (!host.docker("buildx history ls --format '{{.Status}}'").ok().is_empty()).then_some(())
        });
        forget(host);
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn many_at_once_do_each_step_once() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n");
        let building: Vec<_> = (0..6)
            .map(|number| {
                host.docker_running(&format!("build --progress plain -t app:{number} {from}"))
            })
            .collect();
        building.into_iter().for_each(|building| drop(building.wait().code(0).clone()));
        let ids: std::collections::BTreeSet<String> = (0..6)
            .map(|number| host.docker(&format!("run --rm app:{number} cat /id")).ok().to_owned())
            .collect();
        assert_eq!(ids.len(), 1);
    });
}

#[test]
fn strangers_are_refused() {
    on_building_host(|host| {
        let answer = host.post("/grpc", "");
        assert_eq!(answer.status, 500);
        assert!(answer.message().contains("no upgrade proto in request"));
        let answer = host.post("/session", "");
        assert_eq!(answer.status, 400);
    });
}

/// What can be called on the connection.
const METHODS: [&str; 22] = [
    "/moby.buildkit.v1.Control/DiskUsage",
    "/moby.buildkit.v1.Control/Prune",
    "/moby.buildkit.v1.Control/Solve",
    "/moby.buildkit.v1.Control/Status",
    "/moby.buildkit.v1.Control/Session",
    "/moby.buildkit.v1.Control/ListWorkers",
    "/moby.buildkit.v1.Control/Info",
    "/moby.buildkit.v1.Control/ListenBuildHistory",
    "/moby.buildkit.v1.Control/UpdateBuildHistory",
    "/moby.buildkit.v1.frontend.LLBBridge/Solve",
    "/moby.buildkit.v1.frontend.LLBBridge/Return",
    "/moby.buildkit.v1.frontend.LLBBridge/ReadFile",
    "/moby.buildkit.v1.frontend.LLBBridge/ReadDir",
    "/moby.buildkit.v1.frontend.LLBBridge/StatFile",
    "/moby.buildkit.v1.frontend.LLBBridge/Evaluate",
    "/moby.buildkit.v1.frontend.LLBBridge/Ping",
    "/moby.buildkit.v1.frontend.LLBBridge/Inputs",
    "/moby.buildkit.v1.frontend.LLBBridge/Warn",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/grpc.health.v1.Health/Check",
    "/no.such.Service/Method",
];

/// Bytes that look like nothing in particular, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 200;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A message that can be read: fields of small numbers with text in them.
    fn message(&mut self) -> Vec<u8> {
        let fields = self.next() % 6;
        (0..fields).fold(Vec::new(), |mut message, _| {
            let text = self.bytes();
            let text = &text[..text.len().min(100)];
            message.push((self.next() % 15 + 1) as u8 * 8 + 2);
            message.push(text.len() as u8);
            message.extend(text.iter().map(|byte| byte % 128));
            message
        })
    }
}

/// The connection after the upgrade.
fn upgraded(host: &Host) -> std::io::Result<UnixStream> {
    let mut connection = http::connect(&host.places().socket)?;
    let upgrade = "POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    connection.write_all(upgrade.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Ok(connection)
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A call, with `message` as what it asks.
fn call(stream: u32, method: &str, message: &[u8]) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("buildkit-controlapi-buildid", "nobody"),
    ];
    let mut block = Vec::new();
    for text in headers {
        block.push(0);
        for text in [text.0, text.1] {
            block.push(text.len() as u8);
            block.extend(text.bytes());
        }
    }
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    [frame(1, 4, stream, &block), frame(0, 1, stream, &body)].concat()
}

#[test]
fn noise_on_the_connection_harms_nobody() {
    on_building_host(|host| {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let before = host.daemon_pid();
        for round in 0..60_u32 {
            let mut connection = upgraded(host).unwrap();
            // The other side may close it whenever it likes.
            if round.is_multiple_of(6) {
                let _ = connection.write_all(&noise.bytes());
                continue;
            }
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(frame(4, 0, 0, &[]));
            for (number, method) in METHODS.iter().enumerate() {
                let message =
                    if noise.next().is_multiple_of(2) { noise.bytes() } else { noise.message() };
                bytes.extend(call(number as u32 * 2 + 1, method, &message));
            }
            if round.is_multiple_of(5) {
                bytes.extend(noise.bytes());
            }
            let _ = connection.write_all(&bytes);
        }
        assert_eq!(host.get("/_ping").status, 200);
        assert_eq!(host.daemon_pid(), before);
        host.docker("buildx ls").code(0).stdout_has("running");
        let from = with(host, "app", "FROM busybox\nRUN true\n");
        host.docker(&format!("build {from}")).ok();
    });
}

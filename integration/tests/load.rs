//! Many clients at once, some that never read, some that vanish: the daemon stays small and quick,
//! and lets go of what it had for them.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tare_integration::http;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

/// How long what goes on until it is told to stop goes on.
const SECONDS: u64 = 4;

/// What the daemon has, as the kernel counts it.
#[derive(Debug, Clone, Copy)]
struct Weight {
    memory: u64,
    descriptors: usize,
    threads: u64,
}

impl Weight {
    fn of(host: &Host) -> Self {
        let process = format!("/proc/{}", host.daemon_process());
        let status = std::fs::read_to_string(format!("{process}/status")).expect("look at tared");
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).expect("a number")
        };
        Self {
            memory: number("VmRSS:") << 10,
            descriptors: std::fs::read_dir(format!("{process}/fd")).expect("list files").count(),
            threads: number("Threads:"),
        }
    }
}

/// Runs the test, if the daemon is one whose weight is ours.
fn on_light_host(test: impl FnOnce(&Host)) {
    if peer::is_tared("this much memory") {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("raise the number of open files");
        on_host(test);
    }
}

/// How long the test goes on.
fn seconds() -> Duration {
    let asked = std::env::var("TARE_TEST_CROWD_SECONDS").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(SECONDS))
}

/// Asks for something that has no end, and reads nothing of it yet.
fn follow(host: &Host, method: &str, path: &str) -> UnixStream {
    let mut stream = http::connect(&host.places().socket).expect("connect");
    let connection = if path.contains("attach") { "Upgrade\r\nUpgrade: tcp" } else { "close" };
    let fields = format!("Host: test\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n");
    write!(stream, "{method} {path} HTTP/1.1\r\n{fields}").expect("ask");
    stream
}

/// Reads what there is.
fn drain(stream: &mut UnixStream, buffer: &mut [u8]) -> usize {
    let mut total = 0;
    loop {
        match stream.read(buffer) {
            Ok(0) => return total,
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
            Err(error) => panic!("a follower is cut off: {error}"),
        }
    }
}

/// Requires that descriptors and threads come back to what they were.
#[track_caller]
fn lets_go(host: &Host, before: Weight) {
    let mut now = Weight::of(host);
    let what = format!("the daemon letting go of what it had for its clients: {before:?}");
    until_true(&what, || {
        now = Weight::of(host);
        now.descriptors <= before.descriptors + 8
    });
    eprintln!("before {before:?}, after {now:?}");
}

#[test]
fn a_thousand_followers_of_whom_some_never_read() {
    const FOLLOWERS: usize = 1000;
    on_light_host(|host| {
        let talk = "sh -c 'while :; do seq 1 5000; sleep 0.2; done'";
        host.docker(&format!("run -d --name talks --log-opt max-size=1m busybox {talk}")).ok();
        let before = Weight::of(host);
        let paths = ["/containers/talks/logs?follow=1&stdout=1&stderr=1", "/events"];
        let mut all: Vec<(bool, usize, UnixStream)> = (0..FOLLOWERS)
            .map(|n| {
                let stream = follow(host, "GET", paths[n % 2]);
                stream.set_nonblocking(true).expect("be patient");
                // Half of them read.
                (n % 4 < 2, 0, stream)
            })
            .collect();
        let mut buffer = vec![0; 64 << 10];
        let until = Instant::now() + seconds();
        let mut rounds = 0;
        while Instant::now() < until || rounds < 3 {
            // What happens is told to each of them.
            host.docker("run --rm busybox true").ok();
            for (reads, total, stream) in &mut all {
                if *reads {
                    *total += drain(stream, &mut buffer);
                }
            }
            rounds += 1;
        }
        until_true("each that reads getting something", || {
            let readers = all.iter_mut().filter(|(reads, ..)| *reads);
            readers.fold(true, |all, (_, total, stream)| {
                *total += drain(stream, &mut buffer);
                all && *total > 500
            })
        });
        assert_eq!(host.get("/_ping").status, 200);
        let with = Weight::of(host);
        eprintln!("before {before:?}, with them {with:?}, {rounds} containers");
        let each = with.memory.saturating_sub(before.memory) / FOLLOWERS as u64;
        assert!(each < 300 << 10, "each follower costs {each} bytes");
        assert!(with.threads < 200, "{with:?}");
        // Nobody holds the container back.
        let size = || host.docker("logs -n 1 talks").stdout;
        assert!(!size().is_empty());
        host.docker("rm -f talks").ok();
        // Its followers hear of the end.
        for (_, _, stream) in all.iter_mut().filter(|(reads, ..)| *reads).step_by(2) {
            stream.set_nonblocking(false).expect("wait");
            stream.read_to_end(&mut Vec::new()).expect("the end of a log");
        }
        drop(all);
        lets_go(host, before);
    });
}

#[test]
fn clients_that_vanish_in_the_middle() {
    on_light_host(|host| {
        host.docker("run -d -i --name echo busybox cat").ok();
        let exec = |command: &str| {
            let body = format!(r#"{{"AttachStdin":true,"AttachStdout":true,"Cmd":{command}}}"#);
            let id = host.post("/containers/echo/exec", &body).json();
            id["Id"].as_str().expect("an id").to_owned()
        };
        // A registry that never answers, so that a pull is in its middle until its client goes.
        let silent = host.running("perl", &["-MIO::Socket::INET", "-e",
            "$| = 1; $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:5000', Listen => 4096) or die; print \"up\\n\"; sleep 1000"]);
        silent.wait_for_stdout("up");
        let before = Weight::of(host);
        let start = r#"{"Detach":false}"#;
        let attach = "/containers/echo/attach?stream=1&stdin=1&stdout=1&stderr=1";
        let until = Instant::now() + seconds();
        let mut rounds = 0;
        while Instant::now() < until || rounds < 5 {
            let mut attached = follow(host, "POST", attach);
            attached.write_all(b"half a li").expect("type");
            let mut execed = http::connect(&host.places().socket).expect("connect");
            let path = format!("/exec/{}/start", exec(r#"["cat"]"#));
            let fields = format!(
                "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{start}",
                start.len()
            );
            write!(execed, "POST {path} HTTP/1.1\r\nHost: test\r\n{fields}").expect("ask");
            let pulled = follow(host, "POST", "/images/create?fromImage=127.0.0.1:5000/x&tag=1");
            let mut loaded = http::connect(&host.places().socket).expect("connect");
            let head =
                "POST /images/load HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\n";
            loaded.write_all(head.as_bytes()).expect("ask");
            loaded.write_all(&[0; 512]).expect("send the beginning");
            let copied = follow(host, "GET", "/containers/echo/archive?path=/");
            let waited = follow(host, "POST", "/containers/echo/wait");
            let counted = follow(host, "GET", "/containers/echo/stats");
            if rounds % 2 == 0 {
                // Some have heard something before they go.
                let _ = attached.read(&mut [0; 12]);
                let _ = copied.try_clone().and_then(|mut stream| stream.read(&mut [0; 12]));
            }
            drop((attached, execed, pulled, loaded, copied, waited, counted));
            rounds += 1;
        }
        eprintln!("{rounds} rounds");
        lets_go(host, before);
        // Those whose clients have gone have ended; the container goes on.
        until_true("the end of what was exec'd", || host.docker("top echo").lines().len() == 2);
        assert_eq!(host.inspect("echo", "{{.State.Status}}"), "running");
        host.docker("exec echo echo still").code(0).stdout("still\n");
    });
}

#[test]
fn two_who_want_the_same_name() {
    on_light_host(|host| {
        let before = Weight::of(host);
        let until = Instant::now() + seconds();
        let body = r#"{"Image":"busybox","Cmd":["sleep","1000"]}"#;
        let client = &|number: usize| {
            let mut done = [0_usize; 4];
            let mut rounds = 0;
            while Instant::now() < until || rounds < 5 {
                let steps = [
                    (host.post("/containers/create?name=one", body), &[201, 409][..]),
                    (host.post("/containers/one/start", ""), &[204, 304, 404, 409]),
                    // 400: the other has just given it this name.
                    (host.post("/containers/one/rename?name=other", ""), &[204, 400, 404, 409]),
                    (host.delete("/containers/other?force=1"), &[204, 404, 409]),
                ];
                for (count, (answer, known)) in done.iter_mut().zip(&steps) {
                    assert!(known.contains(&answer.status), "client {number}: {answer:?}");
                    *count += usize::from(answer.status < 300);
                }
                let listed = host.get("/containers/json?all=1").json();
                let listed = listed.as_array().expect("a list");
                assert!(listed.len() <= 2, "{listed:?}");
                rounds += 1;
            }
            done
        };
        let done: Vec<[usize; 4]> = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..2).map(|number| scope.spawn(move || client(number))).collect();
            clients.into_iter().map(|client| client.join().expect("a client")).collect()
        });
        eprintln!("created, started, renamed, removed: {done:?}");
        let total = |step: usize| done.iter().map(|done| done[step]).sum::<usize>();
        assert!(total(0) > 0 && total(1) > 0 && total(3) > 0, "{done:?}");
        // What was created and not removed is there, and nothing else.
        let left = host.docker("ps -aq").lines().len();
        assert_eq!(left, total(0) - total(3), "{done:?}");
        host.remove_everything();
        lets_go(host, before);
    });
}

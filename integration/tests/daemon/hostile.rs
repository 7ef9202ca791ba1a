//! Clients that mean harm, or don't know what they do: each gets an error or nothing, and costs
//! little; the others are served all the while.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use tare_integration::{Host, http, on_host, on_host_with, until_true};

/// A number of the daemon's process, in kB or as it is.
fn number(host: &Host, name: &str) -> u64 {
    let status = host.run("cat", &[&format!("/proc/{}/status", host.daemon_pid())]);
    let line = status.lines().into_iter().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("a number")
}

/// How many files the daemon has open.
fn open_files(host: &Host) -> usize {
    host.run("ls", &[&format!("/proc/{}/fd", host.daemon_pid())]).lines().len()
}

fn connect(host: &Host) -> UnixStream {
    http::connect(&host.places().socket).expect("connect")
}

/// Sends these bytes, as far as they are taken, and what comes back before the end.
fn exchange(host: &Host, bytes: &[u8]) -> String {
    let mut stream = connect(host);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn bodies_that_no_client_should_send() {
    on_host(|host| {
        let create = |body: &str| host.post("/containers/create?name=c1", body);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let nested = format!("{}1{}", "{\"HostConfig\":".repeat(50_000), "}".repeat(50_000));
        let long = format!("{{\"Image\":\"{}\"}}", "x".repeat(4 << 20));
        let many =
            format!("{{\"Image\":\"busybox\",\"Env\":[{}\"A=\"]}}", "\"A=\",".repeat(200_000));
        for body in [&deep, &nested, &long] {
            let answer = create(body);
            assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.message());
            assert!(answer.body.len() < 8 << 20);
        }
        let answer = create(&many);
        assert!(answer.status < 500, "{} {}", answer.status, answer.message());
        let large = create(&format!("{{\"Image\":\"{}\"}}", "x".repeat(9 << 20)));
        assert_eq!(large.status, 400, "{}", large.message());
        assert!(large.message().contains("larger than 8 MiB"), "{}", large.message());
        assert!(number(host, "VmRSS:") < 200 << 10, "{} kB", number(host, "VmRSS:"));
        host.docker("rm -f c1");
    });
}

#[test]
fn requests_that_are_hardly_http() {
    on_host_with(&[], |host| {
        let post =
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
        for (what, bytes) in [
            ("a chunk without a size", format!("{chunked}zz\r\n{{}}\r\n0\r\n\r\n")),
            ("a chunk beyond all bounds", format!("{chunked}ffffffffffffffffff\r\n{{}}\r\n")),
            ("a chunk that is longer", format!("{chunked}1\r\n{{}}\r\n0\r\n\r\n")),
            ("a chunk that never ends", format!("{chunked}100\r\n{{")),
            ("a length that is none", format!("{post}Content-Length: -1\r\n\r\n{{}}")),
            ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}")),
            (
                "a length and chunks",
                format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            ),
            (
                "a zero byte in the path",
                "GET /containers/\0/json HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            ),
            ("a path that is no path", "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n".into()),
            ("no path", "GET  HTTP/1.1\r\n\r\n".into()),
            ("a header without a name", "GET /_ping HTTP/1.1\r\n: x\r\n\r\n".into()),
            ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
            (
                "a query that is no text",
                "GET /containers/json?filters=%ff%fe HTTP/1.1\r\n\r\n".into(),
            ),
            ("a name that is no text", "GET /containers/%ff%00%2f/json HTTP/1.1\r\n\r\n".into()),
            ("a way up", "GET /v1.51/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".into()),
            ("a version without end", format!("GET /v1.{}/info HTTP/1.1\r\n\r\n", "9".repeat(500))),
        ] {
            let answer = exchange(host, bytes.as_bytes());
            let status = status(&answer);
            assert!(status == 0 || (400..500).contains(&status), "{what}: {answer}");
        }
        assert!(!host.daemon_log().contains("panicked"), "{}", host.daemon_log());
        assert_eq!(host.get("/_ping").status, 200);
    });
}

#[test]
fn followers_that_never_read_cost_little() {
    const FOLLOWERS: usize = 300;
    on_host(|host| {
        host.docker("run -d --name c1 busybox sh -c 'yes | head -c 4000000; sleep 1000'").ok();
        until_true("the container's output", || {
            host.get("/containers/c1/logs?stdout=1&tail=1").body.contains('y')
        });
        let (files, memory) = (open_files(host), number(host, "VmRSS:"));
        let mut followers: Vec<UnixStream> = (0..FOLLOWERS)
            .map(|n| {
                let mut stream = connect(host);
                let path = match n % 3 {
                    0 => "/events",
                    1 => "/containers/c1/logs?follow=1&stdout=1",
                    _ => "/containers/c1/wait?condition=removed",
                };
                let method = if n % 3 == 2 { "POST" } else { "GET" };
                let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
                stream.write_all(request.as_bytes()).expect("write");
                stream
            })
            .collect();
        until_true("the followers of events", || {
            host.get("/info").json()["NEventsListener"].as_u64() >= Some(FOLLOWERS as u64 / 3)
        });
        for n in 0..20 {
            host.docker(&format!("create --name more{n} busybox")).ok();
        }
        host.docker("run --rm busybox echo served").code(0).stdout("served\n");
        let grown = number(host, "VmRSS:").saturating_sub(memory);
        assert!(grown < 150 << 10, "{FOLLOWERS} followers cost {grown} kB");
        // Half of them go without a word, half end their side first.
        for stream in followers.iter().step_by(2) {
            stream.shutdown(std::net::Shutdown::Write).expect("end the side");
        }
        followers.clear();
        until_true("the followers' files being closed", || open_files(host) <= files + 5);
        until_true("no listener", || host.get("/info").json()["NEventsListener"] == 0);
    });
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    on_host_with(&[], |host| {
        let files = open_files(host);
        for n in 0..3000 {
            let mut stream = connect(host);
            let half = [
                "",
                "G",
                "GET /_ping HTTP/1.1\r\n",
                "POST /containers/create HTTP/1.1\r\nContent-Length: 99999\r\nContent-Type: application/json\r\n\r\n{",
                "GET /events HTTP/1.1\r\n\r\n",
                "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
            ][n % 6];
            let _ = stream.write_all(half.as_bytes());
        }
        until_true("all files being closed", || open_files(host) <= files + 2);
        assert_eq!(host.get("/_ping").status, 200);
        assert!(!host.daemon_log().contains("panicked"));
    });
}

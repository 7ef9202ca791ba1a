//! `tcp://`: with TLS for clients that prove who they are, and without only if that is meant.

use std::path::Path;

use tare_integration::registry::Certificate;
use tare_integration::{Host, on_host_with};

/// The settings of a daemon that serves the network by TLS, too.
fn with_tls(directory: &Path, more: &[&str], test: impl FnOnce(&Host)) {
    Certificate::make(directory, "127.0.0.1");
    Certificate::of_client(directory);
    let file = |name: &str| directory.join(name).display().to_string();
    let files = [
        format!("--tlscacert={}", file("authority.crt")),
        format!("--tlscert={}", file("server.crt")),
        format!("--tlskey={}", file("server.key")),
        "--host=tcp://127.0.0.1:2376".to_owned(),
    ];
    let arguments: Vec<&str> =
        files.iter().map(String::as_str).chain(more.iter().copied()).collect();
    on_host_with(&arguments, test);
}

/// The docker command line's own flags for TLS.
fn client(directory: &Path) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "-H tcp://127.0.0.1:2376 --tlsverify --tlscacert {} --tlscert {} --tlskey {}",
        file("authority.crt"),
        file("client.crt"),
        file("client.key")
    )
}

#[test]
fn a_client_with_a_certificate_does_what_it_does_by_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    with_tls(directory.path(), &["--tlsverify"], |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        let tls = client(directory.path());
        host.docker(&format!("{tls} run --rm busybox echo hello")).code(0).stdout("hello\n");
        // Input ends while output goes on; nothing of a megabyte is lost.
        let input = vec![b'x'; 1 << 20];
        let counted = host.docker_with_input(&format!("{tls} run --rm -i busybox wc -c"), &input);
        counted.code(0).stdout("1048576\n");
        host.docker(&format!("{tls} run --rm busybox sh -c 'yes | head -c 3000000'"))
            .code(0)
            .stdout_has("y\ny\n");
        let info = host.docker(&format!("{tls} info --format '{{{{json .Warnings}}}}'"));
        assert!(!info.ok().contains("API is accessible"), "{info:?}");
        host.docker("ps -q").stdout("");
    });
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    with_tls(directory.path(), &["--tlsverify"], |host| {
        let authority = directory.path().join("authority.crt").display().to_string();
        let url = "https://127.0.0.1:2376/_ping";
        let refused = host.run("curl", &["-sS", "--cacert", &authority, url]);
        assert_ne!(refused.code, 0, "{refused:?}");
        // One whose certificate is of another authority, too.
        let other = tempfile::tempdir().unwrap();
        Certificate::make(other.path(), "127.0.0.1");
        let (certificate, key) = Certificate::of_client(other.path());
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let with = ["-sS", "--cacert", &authority, "--cert", &certificate, "--key", &key, url];
        let refused = host.run("curl", &with);
        assert_ne!(refused.code, 0, "{refused:?}");
        let plain = host.run("curl", &["-sS", "http://127.0.0.1:2376/_ping"]);
        assert_ne!(plain.code, 0, "{plain:?}");
        assert_eq!(host.get("/_ping").status, 200);
    });
}

#[test]
fn all_clients_are_served_by_tls_if_that_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    with_tls(directory.path(), &["--tlsverify=false"], |host| {
        let authority = directory.path().join("authority.crt").display().to_string();
        let url = "https://127.0.0.1:2376/_ping";
        host.run("curl", &["-sS", "--cacert", &authority, url]).code(0).stdout("OK");
        let warnings = host.get("/info").json()["Warnings"].to_string();
        assert!(warnings.contains("without TLS client verification"), "{warnings}");
    });
}

#[test]
fn a_plain_address_is_refused_unless_it_is_meant() {
    on_host_with(&["--host=tcp://127.0.0.1:2375", "--tls=false"], |host| {
        assert_eq!(host.fetch("http://127.0.0.1:2375/_ping"), "OK");
        host.docker("-H tcp://127.0.0.1:2375 ps").code(0);
        host.docker("info")
            .stderr_has("API is accessible on http://127.0.0.1:2375 without encryption");
        // A client that ends its side still gets its answer, and is then let go.
        let asks = "printf 'GET /_ping HTTP/1.0\\r\\n\\r\\n' | \
                    perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"127.0.0.1:2375\"); \
                    print $s <STDIN>; $s->flush; shutdown $s, 1; print <$s>'";
        host.run("sh", &["-c", asks]).code(0).stdout_has("OK");
    });
    on_host_with(&["--host=tcp://127.0.0.1:2375", "--tls=false"], |host| {
        host.end_daemon(rustix::process::Signal::TERM);
        let tared = tare_integration::programs::directory().join("tared").display().to_string();
        let mut arguments = host.places().arguments();
        arguments.push("--host=tcp://127.0.0.1:2375".to_owned());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        host.run("timeout", &[&["30", tared.as_str()], &arguments[..]].concat())
            .code(1)
            .stderr_has("tcp://127.0.0.1:2375 would give everyone")
            .stderr_has("--tls=false");
        host.start_daemon();
    });
}

#[test]
fn several_sockets_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let second = directory.path().join("second.sock");
    let flag = format!("--host=unix://{}", second.display());
    on_host_with(&[&flag, "--group=0"], |host| {
        assert_eq!(host.get("/_ping").status, 200);
        let answer = tare_integration::http::get(&second, "/_ping").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    });
    assert!(!second.exists(), "the socket's file is removed at the end");
}

#[test]
fn a_context_over_ssh_comes_by_standard_streams() {
    // What ssh runs at the other end: HTTP over the streams of this command.
    on_host_with(&[], |host| {
        let request = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
        let answer = host.docker_with_input("system dial-stdio", request);
        answer.code(0).stdout_has("HTTP/1.1 200 OK").stdout_has("\r\n\r\nOK");
    });
}

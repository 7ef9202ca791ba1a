//! The protocol itself: versions, headers, and what HTTP allows clients to do.

use std::io::{Read, Write};

use serde_json::json;
use tare_integration::http::{self, Answer};
use tare_integration::{Host, on_host, on_host_with};

/// A request that is its words alone, on a connection of its own.
fn say(host: &Host, words: &str) -> Answer {
    http::exchange(&host.places().socket, words).unwrap()
}

#[test]
fn ping_has_the_headers_that_clients_look_for() {
    on_host_with(&[], |host| {
        for method in ["GET", "HEAD"] {
            let close = "Host: x\r\nConnection: close\r\n\r\n";
            let answer = say(host, &format!("{method} /_ping HTTP/1.1\r\n{close}"));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.body, if method == "GET" { "OK" } else { "" });
            let head = answer.head.to_ascii_lowercase();
            for header in [
                "api-version: 1.51",
                "ostype: linux",
                "docker-experimental: false",
                "builder-version: ",
                "swarm: inactive",
                "cache-control: no-cache, no-store, must-revalidate",
                "pragma: no-cache",
                "server: ",
            ] {
                assert!(head.contains(&format!("\r\n{header}")), "{header} in {answer:?}");
            }
        }
    });
}

#[test]
fn a_version_that_is_not_served_is_told_so_in_the_way_its_client_reads() {
    on_host_with(&[], |host| {
        let old = host.get("/v1.23/info");
        assert_eq!(old.status, 400);
        let words = "client version 1.23 is too old. Minimum supported API version is 1.24, please \
                     upgrade your client to a newer version";
        assert_eq!(old.body.trim_end(), words, "as text, not as JSON");
        let new = host.get("/v1.52/info").json();
        let words = "client version 1.52 is too new. Maximum supported API version is 1.51";
        assert_eq!(new["message"], words);
        // A line's end, for who looks at it with curl.
        assert!(host.get("/nowhere").body.ends_with("{\"message\":\"page not found\"}\n"));
        assert!(host.get("/version").body.ends_with("}\n"));
        for version in ["1.24", "1.30", "1.41", "1.51"] {
            assert_eq!(host.get(&format!("/v{version}/version")).status, 200);
        }
    });
}

#[test]
fn info_has_the_fields_of_its_version() {
    on_host_with(&[], |host| {
        let new = host.get("/v1.51/info").json();
        assert!(new.get("BridgeNfIptables").is_none());
        assert_eq!(new["FirewallBackend"]["Driver"], "nftables");
        assert!(new["InitCommit"].get("Expected").is_none());
        let old = host.get("/v1.44/info").json();
        assert_eq!(old["BridgeNfIptables"], false);
        assert_eq!(old["BridgeNfIp6tables"], false);
        assert!(old.get("FirewallBackend").is_none());
        assert_eq!(old["InitCommit"]["Expected"], old["InitCommit"]["ID"]);
        let config = &old["RegistryConfig"];
        assert!(config.get("AllowNondistributableArtifactsCIDRs").is_some(), "{config}");
    });
}

#[test]
fn there_is_no_swarm_and_no_plugin() {
    on_host_with(&[], |host| {
        let no_manager = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                          swarm join\" to connect this node to swarm and try again.";
        for command in
            ["node ls", "service ls", "stack ls", "secret ls", "config ls", "swarm unlock-key"]
        {
            host.docker(command).code(1).stderr_has(no_manager);
        }
        host.docker("swarm leave").code(1).stderr_has("This node is not part of a swarm");
        host.docker("swarm init").code(1).stderr_has("swarm mode is not supported");
        host.docker("plugin ls -q").code(0).stdout("");
        host.docker("plugin inspect some").code(1);
        host.docker("plugin rm some/plugin").code(1).stderr_has("not found");
        host.docker("plugin install some/plugin").code(1).stderr_has("not supported");
        assert_eq!(host.get("/plugins").json(), json!([]));
        let answer = host.post("/plugins/some/plugin:v1/enable?timeout=0", "");
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(host.get("/info").json()["Swarm"]["LocalNodeState"], "inactive");
    });
}

#[test]
fn methods_that_a_path_does_not_have() {
    on_host_with(&[], |host| {
        let close = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for request in
            ["HEAD /info", "HEAD /events", "PUT /info", "PATCH /containers/json", "GET /"]
        {
            let answer = say(host, &format!("{request} {close}"));
            assert_eq!(answer.status, 404, "{request}: {answer:?}");
        }
        assert_eq!(say(host, &format!("OPTIONS /info {close}")).status, 200);
    });
}

#[test]
fn clients_of_every_kind_of_http() {
    on_host(|host| {
        let old = say(host, "GET /_ping HTTP/1.0\r\n\r\n");
        assert_eq!((old.status, old.body.as_str()), (200, "OK"), "{old:?}");
        assert!(!old.head.to_ascii_lowercase().contains("chunked"), "{old:?}");

        // Several requests on one connection, sent at once.
        let mut stream = http::connect(&host.places().socket).unwrap();
        let request = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
        let last = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("{}{last}", request.repeat(9)).as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 10, "{all}");

        // One that wants to be told before it sends its body.
        let mut stream = http::connect(&host.places().socket).unwrap();
        let body = r#"{"Image": "busybox"}"#;
        let head = format!(
            "POST /containers/create?name=c1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut told = [0; 25];
        stream.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.starts_with("HTTP/1.1 201 Created"), "{rest}");

        // A body in chunks, and one whose type is not said.
        let head = "POST /containers/create?name=c2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let chunks = "Transfer-Encoding: chunked\r\n";
        let (one, two) = body.split_at(7);
        let sent = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
        let typed = format!("{head}{chunks}Content-Type: application/json\r\n\r\n{sent}");
        assert_eq!(say(host, &typed).status, 201);
        let untyped = say(host, &format!("{head}{chunks}\r\n{sent}"));
        assert_eq!(untyped.status, 400, "{untyped:?}");
        assert!(untyped.message().contains("malformed Content-Type header"), "{untyped:?}");
    });
}

#[test]
fn streams_are_called_what_they_are() {
    on_host(|host| {
        host.docker("run --name c1 busybox echo said").ok();
        let head = |version: &str, upgrade: &str| {
            let request = format!(
                "POST /v{version}/containers/c1/attach?logs=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\
                 Content-Length: 0\r\n{upgrade}\r\n"
            );
            let mut stream = http::connect(&host.places().socket).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            String::from_utf8_lossy(&all).to_ascii_lowercase()
        };
        let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
        let multiplexed = "content-type: application/vnd.docker.multiplexed-stream";
        let raw = "content-type: application/vnd.docker.raw-stream";
        let upgraded = head("1.51", upgrade);
        assert!(upgraded.starts_with("http/1.1 101 upgraded"), "{upgraded}");
        assert!(upgraded.contains(multiplexed) && upgraded.contains("said"), "{upgraded}");
        assert!(head("1.41", upgrade).contains(raw));
        let plain = head("1.51", "");
        assert!(plain.starts_with("http/1.1 200 ok") && plain.contains(raw), "{plain}");
        assert!(plain.contains("said"), "{plain}");
    });
}

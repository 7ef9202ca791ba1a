//! Registries that lie, stall and never end, to who pulls.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tare_integration::archive::{digest, gzip};
use tare_integration::{Host, on_host_with, until_true};

use crate::liar::{ADDRESS, Asked, Liar, MANIFEST, Parts, answer, for_ever, manifest, stall};

/// Longer than any lie takes to be seen through, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

type Said = fn(&Parts, &Asked, &mut TcpStream) -> std::io::Result<()>;

/// A lie, and one of the things that are said of it.
const LIES: [(&str, Said, &[&str]); 24] = [
    (
        "a layer that is another",
        |parts, asked, out| {
            let mut other = parts.layer.clone();
            other[1000] ^= 1;
            layer(parts, asked, out, |out| answer(out, 200, "", &other))
        },
        &["verification failed for digest"],
    ),
    (
        "a layer that is too short",
        |parts, asked, out| {
            layer(parts, asked, out, |out| answer(out, 200, "", &parts.layer[..1000]))
        },
        &["unexpected EOF", "bytes, but", "length"],
    ),
    (
        "a layer that breaks off",
        |parts, asked, out| {
            layer(parts, asked, out, |out| cut_off(out, parts.layer.len(), &parts.layer[..1000]))
        },
        &["unexpected EOF", "end of file", "closed", "connection"],
    ),
    (
        "a layer that is too long",
        |parts, asked, out| {
            let long = [&parts.layer[..], b"more"].concat();
            layer(parts, asked, out, |out| answer(out, 200, "", &long))
        },
        &["longer", "length", "bytes"],
    ),
    (
        "a layer without end",
        |parts, asked, out| layer(parts, asked, out, |out| endless(out, &[7; 4096])),
        &["longer", "verification failed", "not a tar archive"],
    ),
    (
        "headers without end",
        |_, _, out| {
            std::io::Write::write_all(out, b"HTTP/1.1 200 OK\r\n")?;
            for_ever(out, b"X-More: and more\r\n")
        },
        &["Get \"http"],
    ),
    (
        "one header without end",
        |_, _, out| {
            std::io::Write::write_all(out, b"HTTP/1.1 200 OK\r\nX-More: ")?;
            for_ever(out, &[b'x'; 4096])
        },
        &["Get \"http"],
    ),
    (
        "a manifest without end",
        |parts, asked, out| of_manifest(parts, asked, out, |out| endless(out, b"                ")),
        &["longer than"],
    ),
    (
        "redirects in a circle",
        |_, asked, out| {
            let path = if asked.path.ends_with("/a") { "/v2/b" } else { "/v2/a" };
            answer(out, 307, &format!("Location: http://{ADDRESS}{path}\r\n"), b"")
        },
        &["redirect"],
    ),
    (
        "a redirect to a file",
        |_, _, out| answer(out, 307, "Location: file:///etc/passwd\r\n", b""),
        &["Get \"http", "307"],
    ),
    (
        "a redirect to another protocol",
        |parts, asked, out| {
            layer(parts, asked, out, |out| {
                answer(out, 307, "Location: gopher://127.0.0.1/\r\n", b"")
            })
        },
        &["Get \"http", "307", "blob"],
    ),
    (
        "a password is never enough",
        |_, _, out| answer(out, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        &["no basic auth credentials", "unauthorized"],
    ),
    (
        "no token is ever enough",
        |_, asked, out| {
            if asked.is_for("/token") {
                return answer(out, 200, "", br#"{"token":"one","expires_in":300}"#);
            }
            challenge(out)
        },
        &["unauthorized", "401", "denied"],
    ),
    (
        "a token without end",
        |_, asked, out| {
            if asked.is_for("/token") { endless(out, &[b' '; 4096]) } else { challenge(out) }
        },
        &["longer than", "token"],
    ),
    ("who gives tokens wants a token", |_, _, out| challenge(out), &["unauthorized", "401"]),
    (
        "wait for a day",
        |_, _, out| answer(out, 429, "Retry-After: 86400\r\n", b""),
        &["toomanyrequests", "429", "Too Many Requests"],
    ),
    ("nothing but errors", |_, _, out| answer(out, 500, "", b"<html>"), &["500", "Internal"]),
    (
        "a page of HTML",
        |_, _, out| answer(out, 200, "Content-Type: text/html\r\n", b"<html>Log in!</html>"),
        &["can't be read", "media type", "manifest"],
    ),
    ("nothing at all", |_, _, out| answer(out, 200, "", b""), &["can't be read", "manifest"]),
    (
        "another manifest than the one asked for",
        |parts, asked, out| {
            let said = format!(
                "Content-Type: {MANIFEST}\r\nDocker-Content-Digest: {}\r\n",
                digest(b"another")
            );
            of_manifest(parts, asked, out, |out| answer(out, 200, &said, &parts.manifest))
        },
        &["digest"],
    ),
    (
        "a list that has itself",
        |_, _, out| {
            // No digest is its own; whoever is asked for one gives the same list again.
            let entry = json!({
                "mediaType": "application/vnd.oci.image.index.v1+json", "size": 100,
                "digest": digest(b"the list"),
                "platform": { "os": "linux", "architecture": tare_integration::archive::architecture() },
            });
            let index = "application/vnd.oci.image.index.v1+json";
            let list = json!({ "schemaVersion": 2, "mediaType": index, "manifests": [entry] });
            let said = format!("Content-Type: {index}\r\n");
            answer(out, 200, &said, list.to_string().as_bytes())
        },
        &["digest", "verification", "nested"],
    ),
    (
        "a configuration that is no JSON",
        |parts, asked, out| {
            Parts::of(b"{ this is none".to_vec(), parts.layer.clone()).answer(asked, out)
        },
        &["configuration", "JSON", "config"],
    ),
    (
        "a layer that is no archive",
        |parts, asked, out| {
            Parts::of(parts.config.clone(), gzip(b"no archive at all")).answer(asked, out)
        },
        &["failed to register layer", "layers from manifest"],
    ),
    (
        "a size that no layer has",
        |parts, asked, out| {
            let mut lying = parts.clone();
            lying.manifest = manifest(&parts.config, &parts.layer, i64::MAX);
            lying.answer(asked, out)
        },
        &["EOF", "bytes, but", "large", "length", "room", "space"],
    ),
];

fn layer(
    parts: &Parts,
    asked: &Asked,
    out: &mut TcpStream,
    lie: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if asked.path.ends_with(&digest(&parts.layer)) { lie(out) } else { parts.answer(asked, out) }
}

fn of_manifest(
    parts: &Parts,
    asked: &Asked,
    out: &mut TcpStream,
    lie: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if asked.is_for("/manifests/") { lie(out) } else { parts.answer(asked, out) }
}

fn challenge(out: &mut TcpStream) -> std::io::Result<()> {
    let said =
        format!("WWW-Authenticate: Bearer realm=\"http://{ADDRESS}/token\",service=\"x\"\r\n");
    answer(out, 401, &said, b"")
}

/// A body whose length is not told, and which does not end.
fn endless(out: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    std::io::Write::write_all(out, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    for_ever(out, piece)
}

fn cut_off(out: &mut TcpStream, said: usize, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {said}\r\n\r\n");
    std::io::Write::write_all(out, &[head.as_bytes(), body].concat())
}

/// The arguments of a daemon that does not try things for long.
pub(crate) const HASTY: [&str; 1] = ["--max-download-attempts=2"];

#[test]
fn lies_are_seen_through_and_leave_nothing() {
    on_host_with(&HASTY, |host| {
        let liar = Liar::start(host);
        let (parts, name) = (Parts::honest(), format!("{ADDRESS}/x:1"));
        let before = host.footprint();
        let mut unsaid = Vec::new();
        for (lie, said, told) in LIES {
            let honest = parts.clone();
            liar.says(move |asked, out| said(&honest, asked, out));
            let begun = Instant::now();
            let heard = if lie.contains("token") {
                // Docker's command line would ask for a password.
                let pulled = host.post(&format!("/images/create?fromImage={ADDRESS}/x&tag=1"), "");
                assert_ne!(pulled.status, 200, "{lie} was believed");
                pulled.message()
            } else {
                let pulled = host.docker(&format!("pull {name}"));
                assert_ne!(pulled.code, 0, "{lie} was believed");
                pulled.stderr.trim().to_owned()
            };
            let took = begun.elapsed();
            eprintln!("{lie}: {took:?}: {heard}");
            assert!(took < PATIENCE, "{lie}: it took {took:?}");
            if !told.iter().any(|told| heard.contains(told)) {
                unsaid.push(format!("{lie}: {heard}"));
            }
            host.docker("images -aq").stdout("");
            // The beginning of a layer may be kept for the next pull.
            host.docker("image prune -f").ok();
            host.leaves_nothing_since(&before);
        }
        assert!(unsaid.is_empty(), "not said: {unsaid:#?}");
        // Nobody holds it against who is honest from now on.
        liar.says(move |asked, out| parts.answer(asked, out));
        host.docker(&format!("pull {name}")).ok();
        host.docker(&format!("run --rm {name} /bin/busybox echo works")).stdout("works\n");
    });
}

#[test]
fn a_list_of_tags_without_end_ends() {
    on_host_with(&HASTY, |host| {
        let liar = Liar::start(host);
        let pages = [
            // The next page is this one.
            (b"{\"tags\":[\"1\"]}".to_vec(), "Link: </v2/x/tags/list>; rel=\"next\"\r\n"),
            (b"{\"tags\":[]}".to_vec(), "Link: </v2/x/tags/list?n=1>; rel=\"next\"\r\n"),
        ];
        for (page, link) in pages {
            liar.says(move |_, out| answer(out, 200, link, &page));
            let begun = Instant::now();
            let pulled = host.docker(&format!("pull -a {ADDRESS}/x"));
            pulled.code(1).stderr_has("tags");
            assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
        }
        liar.says(|_, out| endless(out, b"{\"tags\":[\"1\", "));
        host.docker(&format!("pull -a {ADDRESS}/x")).code(1).stderr_has("longer than");
    });
}

#[test]
fn what_passes_is_waited_for() {
    on_host_with(&HASTY, |host| {
        let liar = Liar::start(host);
        let name = format!("{ADDRESS}/x:1");
        for (status, headers) in [(429, "Retry-After: 1\r\n"), (500, ""), (503, "")] {
            let (parts, failed) = (Parts::honest(), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&failed);
            liar.says(move |asked, out| {
                // Each is refused once.
                let blob = asked.path.ends_with(&digest(&parts.layer));
                let number = usize::from(blob) + 1;
                if count.load(Ordering::Relaxed) < number && (blob || asked.is_for("/manifests/")) {
                    count.store(number, Ordering::Relaxed);
                    return answer(out, status, headers, b"");
                }
                parts.answer(asked, out)
            });
            host.docker(&format!("pull {name}")).ok();
            assert_eq!(failed.load(Ordering::Relaxed), 2, "{:?}", liar.asked());
            host.docker(&format!("rmi {name}")).ok();
        }
    });
}

/// A pull that is stuck holds up nobody, and ends with who asked for it.
fn is_given_up(host: &Host, liar: &Liar, what: &str) {
    let mut pull = host.docker_running(&format!("pull {ADDRESS}/x:1"));
    until_true(what, || liar.asked().iter().any(|asked| asked.contains(what)));
    host.docker("images").ok();
    host.docker("system df").ok();
    assert!(pull.is_running(), "{what}: {}", pull.stderr());
    pull.signal(Signal::INT);
    assert_ne!(pull.wait().code, 0);
    until_true("the registry being left", || liar.connections() == 0);
}

#[test]
fn what_stalls_is_given_up_with_who_asked_for_it() {
    on_host_with(&[], |host| {
        let liar = Liar::start(host);
        let before = host.footprint();
        for stage in ["/manifests/", "/blobs/"] {
            // Before the first byte, in the headers, in the body.
            for begun in
                ["", "HTTP/1.1 200 OK\r\nX-", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"]
            {
                let parts = Parts::honest();
                liar.says(move |asked, out| {
                    if asked.is_for(stage) {
                        std::io::Write::write_all(out, begun.as_bytes())?;
                        return stall(out);
                    }
                    parts.answer(asked, out)
                });
                is_given_up(host, &liar, stage);
            }
        }
        // In the middle of the layer.
        let parts = Parts::honest();
        liar.says(move |asked, out| {
            let half = &parts.layer[..parts.layer.len() / 2];
            layer(&parts, asked, out, |out| {
                cut_off(out, parts.layer.len(), half)?;
                stall(out)
            })
        });
        is_given_up(host, &liar, &digest(&Parts::honest().layer));
        host.docker("image prune -f").ok();
        host.leaves_nothing_since(&before);
    });
}

//! Registries that lie to who pushes.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tare_integration::{on_host_with, until_true};

use crate::content::archive;
use crate::liar::{ADDRESS, Asked, Liar, answer, for_ever, stall};
use crate::lies::HASTY;

const PATIENCE: Duration = Duration::from_secs(100);

type Said = fn(&Asked, &mut TcpStream) -> std::io::Result<()>;

const LIES: [(&str, Said); 9] = [
    ("nowhere to send it", |asked, out| match &*asked.method {
        "POST" => answer(out, 202, "", b""),
        _ => usual(asked, out),
    }),
    ("a place that is none", |asked, out| match &*asked.method {
        "POST" => answer(out, 202, "Location: file:///tmp/tare-escaped\r\n", b""),
        _ => usual(asked, out),
    }),
    ("errors at the end of each upload", |asked, out| match &*asked.method {
        "PUT" | "PATCH" => answer(out, 500, "", b""),
        _ => usual(asked, out),
    }),
    ("no manifest is good enough", |asked, out| match &*asked.method {
        "PUT" if asked.is_for("/manifests/") => {
            answer(out, 400, "", br#"{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}"#)
        }
        _ => usual(asked, out),
    }),
    ("an error without end", |asked, out| match &*asked.method {
        "PUT" if asked.is_for("/manifests/") => {
            std::io::Write::write_all(out, b"HTTP/1.1 400 No\r\nConnection: close\r\n\r\n")?;
            for_ever(out, b"no and no and no")
        }
        _ => usual(asked, out),
    }),
    ("no password is enough", |_, out| {
        answer(out, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
    }),
    ("everything is too large", |asked, out| match &*asked.method {
        "PUT" | "PATCH" => answer(out, 413, "", b""),
        _ => usual(asked, out),
    }),
    ("it has more than was sent", |asked, out| match &*asked.method {
        "PUT" => answer(out, 500, "", b""),
        "GET" => answer(out, 204, "Range: 0-99999999999\r\nLocation: /v2/x/up\r\n", b""),
        "PATCH" => answer(out, 202, "Range: 0-99999999999\r\nLocation: /v2/x/up\r\n", b""),
        _ => usual(asked, out),
    }),
    ("nothing but hanging up", |_, _| Ok(())),
];

/// A registry that has nothing and takes everything.
fn usual(asked: &Asked, out: &mut TcpStream) -> std::io::Result<()> {
    match &*asked.method {
        "HEAD" => answer(out, 404, "", b""),
        "POST" => answer(out, 202, "Location: /v2/x/up\r\n", b""),
        "PUT" => answer(out, 201, "Location: /v2/x/there\r\n", b""),
        "PATCH" => answer(out, 202, "Location: /v2/x/up\r\n", b""),
        _ => answer(out, 200, "", b"{}"),
    }
}

#[test]
fn who_pushes_is_told_and_keeps_the_image() {
    on_host_with(&HASTY, |host| {
        let liar = Liar::start(host);
        let name = format!("{ADDRESS}/x:1");
        host.docker_with_input("load", &archive(&name, &[(1, 300_000)])).ok();
        // The first push compresses the layers, and that is kept.
        liar.says(usual);
        host.docker(&format!("push {name}")).ok();
        let before = host.footprint();
        for (lie, said) in LIES {
            liar.says(said);
            let begun = Instant::now();
            let pushed = host.docker(&format!("push {name}"));
            let took = begun.elapsed();
            eprintln!("{lie}: {took:?}: {}", pushed.stderr.trim());
            assert_ne!(pushed.code, 0, "{lie} was taken for success");
            assert!(pushed.stderr.len() > 10, "{lie}: {}", pushed.stderr);
            assert!(took < PATIENCE, "{lie}: it took {took:?}");
            host.leaves_nothing_since(&before);
        }
        assert!(!std::path::Path::new("/tmp/tare-escaped").exists());
        host.docker(&format!("run --rm {name} true")).ok();
    });
}

#[test]
fn an_upload_that_stalls_is_given_up_with_who_asked_for_it() {
    on_host_with(&[], |host| {
        let liar = Liar::start(host);
        let name = format!("{ADDRESS}/x:1");
        host.docker_with_input("load", &archive(&name, &[(1, 300_000)])).ok();
        // The first push compresses the layers, and that is kept.
        liar.says(usual);
        host.docker(&format!("push {name}")).ok();
        let before = host.footprint();
        for method in ["HEAD", "POST", "PUT"] {
            liar.says(
                move |asked, out| {
                    if asked.method == method { stall(out) } else { usual(asked, out) }
                },
            );
            let mut push = host.docker_running(&format!("push {name}"));
            until_true(method, || liar.asked().iter().any(|asked| asked.starts_with(method)));
            host.docker("images").ok();
            assert!(push.is_running(), "{method}: {}", push.stderr());
            push.signal(Signal::INT);
            assert_ne!(push.wait().code, 0);
            until_true("the registry being left", || liar.connections() == 0);
            host.leaves_nothing_since(&before);
        }
    });
}

//! Registries: `pull`, `push`, `login`, `manifest inspect`, with Debian's `docker-registry`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar};
use tare_integration::images::{busybox_archive, busybox_tar};
use tare_integration::registry::{Access, Certificate, Registry, USER};
use tare_integration::{Host, on_host, on_host_with, until};

/// Loads an image of this name with a layer of its own upon busybox.
fn load(host: &Host, name: &str, size: usize) {
    // It compresses to nothing unless it is made of noise.
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[0]
    })
    .take(size)
    .collect();
    let archive = DockerArchive {
        tags: vec![name.to_owned()],
        layers: vec![busybox_tar().to_vec(), Tar::new().file("own", 0o644, &content).bytes()],
        config: json!({ "Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": { "a": "b" } }),
    };
    host.docker_with_input("load", &archive.bytes()).ok();
}

/// An image with a layer of `size` bytes that is in `registry` alone.
fn keep_elsewhere(host: &Host, registry: &Registry, size: usize) -> String {
    let name = registry.image("x:1");
    load(host, &name, size);
    host.docker(&format!("push {name}")).ok();
    host.docker(&format!("rmi {name}")).ok();
    name
}

#[test]
fn what_is_pushed_is_pulled_and_runs() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = registry.image("a/busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        let pushed = host.docker(&format!("push {name}"));
        pushed.code(0).stdout_has(&format!("refers to repository [{}", registry.address));
        pushed.stdout_has(": Pushed").stdout_has("1: digest: sha256:");
        let digest = host.inspect(&name, "{{index .RepoDigests 0}}");
        let id = host.inspect(&name, "{{.Id}}");
        host.docker(&format!("rmi busybox {name}")).ok();
        assert_eq!(host.docker("images -q").ok(), "");

        let ran = host.docker(&format!("run --rm {name} echo works"));
        ran.code(0).stdout("works\n").stderr_has("Unable to find image");
        ran.stderr_has("Downloaded newer image for");
        assert_eq!(host.inspect(&name, "{{.Id}}"), id);
        assert_eq!(host.inspect(&name, "{{index .RepoDigests 0}}"), digest);
        let again = host.docker(&format!("pull {name}"));
        again
            .code(0)
            .stdout_has("1: Pulling from a/busybox\n")
            .stdout_has("Image is up to date for");
        host.docker(&format!("rmi {name}")).ok();
        host.docker(&format!("pull -q {digest}")).code(0).stdout(&format!("{digest}\n"));
        host.docker(&format!("run --rm {digest} echo by digest")).stdout("by digest\n");
    });
}

#[test]
fn only_what_is_missing_travels() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let (first, second) = (registry.image("first:1"), registry.image("second:1"));
        host.docker(&format!("tag busybox {first}")).ok();
        host.docker(&format!("push {first}")).ok();
        let again = host.docker(&format!("push {first}"));
        again.code(0).stdout_has("Layer already exists");
        host.docker(&format!("tag busybox {second}")).ok();
        host.docker(&format!("push {second}")).code(0).stdout_has("Mounted from first");

        let derived = registry.image("first:2");
        load(host, &derived, 1000);
        host.docker(&format!("push -a {}", registry.image("first"))).ok();
        host.docker(&format!("rmi {derived}")).ok();
        let pulled = host.docker(&format!("pull {derived}"));
        pulled.code(0).stdout_has("Already exists").stdout_has("Pull complete");
        host.docker(&format!("rmi {first} {derived}")).ok();
        host.docker(&format!("pull -a {}", registry.image("first"))).ok();
        assert_eq!(host.docker("images -q").lines().len(), 4);
    });
}

#[test]
fn errors_are_dockers() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let missing = registry.image("nothing:1");
        host.docker(&format!("pull {missing}")).code(1).stderr_has(&format!(
            "manifest for {missing} not found: manifest unknown: manifest unknown"
        ));
        let run = host.docker(&format!("run --rm {missing}"));
        run.code(125).stderr_has("manifest unknown");
        host.docker(&format!("run --rm --pull never {missing}")).code(125);
        host.docker(&format!("push {missing}"))
            .code(1)
            .stderr_has("An image does not exist locally with the tag:");
        let unreached =
            "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
        host.docker("tag busybox 127.0.0.1:1/x").ok();
        for typed in ["pull 127.0.0.1:1/x", "push 127.0.0.1:1/x", "login -u a -p b 127.0.0.1:1"] {
            host.docker(typed).code(1).stderr_has(unreached);
        }
        host.docker("pull registry.invalid/x")
            .code(1)
            .stderr_has("dial tcp: lookup registry.invalid");
        host.docker("pull scratch").code(1).stderr_has("'scratch' is a reserved name");
        let answer = host.post(&format!("/images/create?fromImage={missing}"), "");
        assert_eq!(answer.status, 404);
    });
}

#[test]
fn a_registry_with_passwords() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Password);
        let name = registry.image("busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        let pushed = host.docker(&format!("push {name}"));
        pushed.code(1).stderr_has("no basic auth credentials");
        host.docker(&format!("pull {name}")).code(1).stderr_has("no basic auth credentials");

        let (user, password) = USER;
        let login = |password: &str| {
            let typed = format!("login -u {user} --password-stdin {}", registry.address);
            host.docker_with_input(&typed, password.as_bytes())
        };
        login("wrong").code(1).stderr_has("401 Unauthorized");
        login(password).code(0).stdout_has("Login Succeeded");
        host.docker(&format!("push {name}")).ok();
        host.docker(&format!("rmi {name}")).ok();
        host.docker(&format!("pull {name}")).ok();
        host.docker(&format!("logout {}", registry.address)).ok();
        host.docker(&format!("pull {name}")).code(1);
    });
}

#[test]
fn a_registry_with_a_private_authority() {
    on_host(|host| {
        const ADDRESS: &str = "192.0.2.1";
        host.run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]).ok();
        let directory = host.scratch("certificates");
        let certificate = Certificate::make(&directory, ADDRESS);
        let registry =
            Registry::start_at(host, &format!("{ADDRESS}:5000"), Access::Open, Some(&certificate));
        let name = registry.image("busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        for typed in [format!("push {name}"), format!("pull {name}")] {
            host.docker(&typed).code(1).stderr_has(&format!(
                "Get \"https://{ADDRESS}:5000/v2/\": tls: failed to verify certificate: x509: \
                 certificate signed by unknown authority"
            ));
        }

        let authority = [("ca.crt", certificate.authority.as_path())];
        registry.with_certificates(host, &authority, || {
            host.docker(&format!("push {name}")).code(0);
            host.docker(&format!("rmi {name}")).ok();
            host.docker(&format!("pull {name}")).code(0);
        });
    });
}

/// A registry without TLS that is not said to be one.
#[test]
fn a_registry_that_speaks_plain_http() {
    on_host(|host| {
        const ADDRESS: &str = "192.0.2.1";
        host.run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]).ok();
        let registry = Registry::start_at(host, &format!("{ADDRESS}:5000"), Access::Open, None);
        let name = registry.image("busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        for typed in [format!("push {name}"), format!("pull {name}")] {
            host.docker(&typed).code(1).stderr_has(&format!(
                "Get \"https://{ADDRESS}:5000/v2/\": http: server gave HTTP response to HTTPS client"
            ));
        }
    });
}

#[test]
fn a_registry_that_wants_to_see_a_certificate() {
    on_host_with(&["--max-download-attempts=50"], |host| {
        host.docker_with_input("load", &busybox_archive()).ok();
        const ADDRESS: &str = "192.0.2.1";
        host.run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]).ok();
        let directory = host.scratch("certificates");
        let certificate = Certificate::make(&directory, ADDRESS);
        let (client, key) = Certificate::of_client(&directory);
        let address = format!("{ADDRESS}:5000");
        let registry = Registry::start_at(host, &address, Access::Certificate, Some(&certificate));
        let name = registry.image("busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        let authority = ("ca.crt", certificate.authority.as_path());
        registry.with_certificates(host, &[authority], || {
            // The registry's TLS library says it in one of these ways.
            let said = ["tls: certificate required", "tls: bad certificate"];
            let began = Instant::now();
            host.docker(&format!("push {name}")).code(1).stderr_has_one_of(&said);
            // It is not asked again and again: that would change nothing, and takes many minutes.
            assert!(began.elapsed() < Duration::from_secs(100));
        });
        let pair = [authority, ("client.cert", &client), ("client.key", &key)];
        registry.with_certificates(host, &pair, || {
            host.docker(&format!("push {name}")).code(0);
            host.docker(&format!("rmi {name}")).ok();
            host.docker(&format!("pull {name}")).code(0);
        });
        // A certificate without its key, as docker refuses it.
        registry.with_certificates(host, &pair[..2], || {
            host.docker(&format!("pull {name}")).code(1).stderr_has("client.key");
        });
    });
}

#[test]
fn a_mirror_of_any_registry() {
    // The registry itself is not there at all.
    let mirror = ["--mirror=registry.invalid=http://127.0.0.1:5000"];
    on_host_with(&mirror, |host| {
        let registry = Registry::start(host, Access::Open);
        load(host, "127.0.0.1:5000/x/y:1", 1000);
        host.docker("push 127.0.0.1:5000/x/y:1").ok();
        host.docker("rmi 127.0.0.1:5000/x/y:1").ok();
        host.docker("pull registry.invalid/x/y:1").ok();
        host.docker("run --rm registry.invalid/x/y:1 echo works").stdout("works\n");
        drop(registry);
    });
}

#[test]
fn a_registry_that_goes_away_and_comes_back() {
    on_host(|host| {
        let mut registry = Registry::start(host, Access::Open);
        let name = keep_elsewhere(host, &registry, 60 << 20);
        let pulling = host.docker_running(&format!("pull {name}"));
        pulling.wait_for_stdout("Pulling fs layer");
        registry.stop();
        registry.start_again(host);
        pulling.wait().code(0);
        host.docker(&format!("run --rm {name} wc -c /own")).stdout_has("62914560");
    });
}

#[test]
fn a_pull_that_is_given_up_or_cut_off_leaves_an_image_that_is_pulled_again() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = keep_elsewhere(host, &registry, 60 << 20);

        let pulling = host.docker_running(&format!("pull {name}"));
        pulling.wait_for_stdout("Pulling fs layer");
        pulling.signal(Signal::KILL);
        pulling.wait();
        let pulling = host.docker_running(&format!("pull {name}"));
        pulling.wait_for_stdout("Pulling fs layer");
        host.end_daemon(Signal::KILL);
        pulling.wait();
        host.start_daemon();
        host.docker(&format!("pull {name}")).ok();
        host.docker(&format!("run --rm {name} wc -c /own")).stdout_has("62914560");
    });
}

/// What is made ready to be sent is made for whoever waits for it.
#[test]
fn a_push_that_is_given_up_is_made_ready_no_further() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = registry.image("x:1");
        load(host, &name, 100 << 20);
        let files = |directory: &str| {
            let entries = std::fs::read_dir(host.places().data_root.join(directory));
            let entries = entries.expect("list the store").flatten();
            entries.map(|entry| entry.file_name()).collect::<BTreeSet<_>>()
        };
        let before = files("blobs/sha256");
        let pushing = host.docker_running(&format!("push {name}"));
        until("the compression", || (!files("ingest").is_empty()).then_some(()));
        pushing.signal(Signal::INT);
        pushing.wait();
        until("its end", || files("ingest").is_empty().then_some(()));
        assert_eq!(files("blobs/sha256"), before);
        host.docker(&format!("push {name}")).code(0);
    });
}

#[test]
fn pulls_of_the_same_image_at_once() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = keep_elsewhere(host, &registry, 20 << 20);
        let pulls: Vec<_> = (0..4).map(|_| host.docker_running(&format!("pull {name}"))).collect();
        for pull in pulls {
            pull.wait().code(0);
        }
        host.docker(&format!("run --rm {name} wc -c /own")).stdout_has("20971520");
        // The registry gave the layer once.
        let given = || {
            let log = registry.log();
            let lines = log.lines().filter(|line| line.contains("response completed"));
            let written = lines.filter_map(|line| {
                line.split_once("response.written=")?.1.split(' ').next()?.parse::<u64>().ok()
            });
            written.filter(|bytes| *bytes > 20 << 20).count()
        };
        until("the registry's log", || (given() > 0).then_some(()));
        assert_eq!(given(), 1);
    });
}

#[test]
fn what_a_name_stands_for_is_told() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = registry.image("busybox:1");
        host.docker(&format!("tag busybox {name}")).ok();
        host.docker(&format!("push {name}")).ok();
        let manifest = host.docker(&format!("manifest inspect --insecure {name}")).json();
        assert_eq!(manifest["schemaVersion"], 2);
        let answer = host.get(&format!("/distribution/{name}/json"));
        assert_eq!(answer.status, 200);
        let answer: serde_json::Value = answer.json();
        assert_eq!(answer["Platforms"][0]["os"], "linux");
        assert!(answer["Descriptor"]["digest"].as_str().expect("a text").starts_with("sha256:"));
    });
}

#[test]
fn pulls_and_pushes_are_events() {
    on_host(|host| {
        let registry = Registry::start(host, Access::Open);
        let name = registry.image("busybox:1");
        let events = host.docker_running(
            "events --filter type=image --format '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}'",
        );
        host.docker(&format!("tag busybox {name}")).ok();
        host.docker(&format!("push {name}")).ok();
        host.docker(&format!("pull {name}")).ok();
        let repository = registry.image("busybox");
        for action in ["push", "pull"] {
            let line = format!("{action} {name} {repository}\n");
            until(&line, || events.stdout().contains(&line).then_some(()));
        }
    });
}

//! Names of images for several platforms: `pull`, `run`, `inspect`, `push`, `images --tree` and `rmi`
//! with `--platform` and without.

use serde_json::{Value, json};
use tare_integration::archive::architecture;
use tare_integration::registry::put::{INDEX, MANIFEST};
use tare_integration::registry::{Access, Registry};
use tare_integration::{Host, on_host};

/// A processor that this machine surely has not.
const OTHER: &str = "s390x";

/// A registry with an image for this machine and for another one under one name; the name, and the
/// digest of the list.
fn two_platforms(host: &Host) -> (Registry, String, String) {
    let registry = Registry::start(host, Access::Open);
    let digest = registry.put_list(host, "two", "1", &[OTHER, architecture()]);
    let name = registry.image("two:1");
    (registry, name, digest)
}

/// The kind of each manifest of an answer, and whether it is here.
fn manifests(answer: &Value) -> Vec<(String, bool)> {
    let manifests = answer["Manifests"].as_array().into_iter().flatten();
    let shown = manifests.map(|manifest| {
        let kind = manifest["Kind"].as_str().unwrap_or_default().to_owned();
        (kind, manifest["Available"] == true)
    });
    shown.collect()
}

#[test]
fn this_machines_image_is_meant_unless_another_is_asked_for() {
    on_host(|host| {
        let (_registry, name, digest) = two_platforms(host);
        let shown = host.docker(&format!("run --rm {name} cat /architecture"));
        shown.code(0).stdout(architecture());
        let pulled = host.docker(&format!("pull --platform linux/{OTHER} {name}"));
        pulled.code(0).stdout_has("Downloaded newer image").stdout_has(&digest);
        let pulled = host.docker(&format!("pull --platform linux/{OTHER} {name}"));
        pulled.code(0).stdout_has("Image is up to date");

        host.docker(&format!("run --rm {name} cat /architecture")).stdout(architecture());
        let other = format!("run --rm --platform linux/{OTHER} {name} cat /architecture");
        let ran = host.docker(&other);
        ran.code(0).stdout(OTHER);
        assert!(!ran.stderr.contains("WARNING"), "{}", ran.stderr);
        assert_eq!(host.inspect(&name, "{{.Architecture}}"), architecture());
        let format = "{{.Architecture}} {{index .RepoTags 0}}";
        let inspected =
            format!("image inspect --platform linux/{OTHER} --format '{format}' {name}");
        host.docker(&inspected).code(0).stdout(&format!("{OTHER} {name}\n"));
        let history = host.docker(&format!("history -q --platform linux/{OTHER} {name}"));
        history.code(0);
        let missing = host.docker(&format!("image inspect --platform linux/riscv64 {name}"));
        missing.code(1).stderr_has("does not provide the specified platform (linux/riscv64)");

        let repository = name.trim_end_matches(":1");
        let digests = host.inspect(&name, "{{.RepoDigests}}");
        assert_eq!(digests, format!("[{repository}@{digest}]"));
        assert_eq!(host.docker("images -q --filter reference=127.0.0.1:5000/*").lines().len(), 1);
        // A container shows the name that it was made by, whichever image was meant.
        host.docker(&format!("create --name other --platform linux/{OTHER} {name}")).ok();
        let listed = host.docker("ps -a --filter name=other --format '{{.Image}}'");
        listed.stdout(&format!("{name}\n"));
    });
}

#[test]
fn an_image_for_another_machine_comes_with_a_warning() {
    on_host(|host| {
        let (_registry, name, _) = two_platforms(host);
        host.docker(&format!("pull --platform linux/{OTHER} {name}")).ok();
        let ran = host.docker(&format!("run --rm {name} cat /architecture"));
        ran.code(0).stdout(OTHER).stderr_has(&format!(
            "The requested image's platform (linux/{OTHER}) does not match the detected host \
             platform (linux/{}",
            architecture()
        ));
        ran.stderr_has("and no specific platform was requested");
        // Asked for, this machine's is fetched.
        let here = format!("run --rm --platform linux/{} {name} cat /architecture", architecture());
        host.docker(&here).code(0).stdout(architecture());
    });
}

#[test]
fn manifests_are_shown_with_their_attestations() {
    on_host(|host| {
        let (_registry, name, digest) = two_platforms(host);
        host.docker(&format!("pull {name}")).ok();
        let answer = host.get(&format!("/images/{name}/json?manifests=1")).json();
        let (here, missing) = (true, false);
        let expected =
            [("image", missing), ("attestation", missing), ("image", here), ("attestation", here)];
        let expected: Vec<_> =
            expected.into_iter().map(|(kind, here)| (kind.to_owned(), here)).collect();
        assert_eq!(manifests(&answer), expected);
        assert_eq!(answer["Descriptor"]["digest"], digest);
        assert_eq!(answer["Descriptor"]["mediaType"], INDEX);
        let image = &answer["Manifests"][2];
        assert_eq!(image["ImageData"]["Platform"]["architecture"], architecture());
        assert_eq!(image["Descriptor"]["mediaType"], MANIFEST);
        assert!(image["ImageData"]["Size"]["Unpacked"].as_u64() > Some(100_000));
        assert_eq!(answer["Manifests"][3]["AttestationData"]["For"], image["ID"]);
        let listed = host.get("/images/json?manifests=1").json();
        let listed = listed.as_array().expect("a list").iter();
        let mut two = listed.filter(|image| image["RepoTags"] == json!([name]));
        assert_eq!(manifests(two.next().expect("it is listed")), expected);

        let tree = host.docker("image ls --tree");
        tree.code(0).stdout_has(&format!("linux/{OTHER}")).stdout_has(architecture());
        let both = host.get(&format!("/images/{name}/json?manifests=1&platform=%7B%22os%22:%22linux%22,%22architecture%22:%22{OTHER}%22%7D"));
        assert_eq!((both.status, both.message().contains("conflicting options")), (400, true));
        let old = host.get(&format!("/v1.46/images/{name}/json?manifests=1")).json();
        assert_eq!((&old["Manifests"], &old["Descriptor"]), (&Value::Null, &Value::Null));
    });
}

#[test]
fn a_list_is_pushed_whole_or_one_image_of_it() {
    on_host(|host| {
        let (registry, name, digest) = two_platforms(host);
        host.docker(&format!("pull {name}")).ok();
        let copy = registry.image("copy:1");
        host.docker(&format!("tag {name} {copy}")).ok();
        let alone = host.docker(&format!("push {copy}"));
        alone.code(0).stdout_has("Not all multiplatform-content is present");
        let described = host.docker(&format!("manifest inspect --insecure {copy}")).json();
        assert_eq!(described["mediaType"], MANIFEST);
        let missing = host.docker(&format!("push --platform linux/{OTHER} {copy}"));
        missing.code(1).stderr_has(&format!("specified platform (linux/{OTHER})"));

        host.docker(&format!("pull --platform linux/{OTHER} {name}")).ok();
        let whole = host.docker(&format!("push {copy}"));
        whole.code(0).stdout_has(&format!("1: digest: {digest}"));
        let described = host.docker(&format!("manifest inspect --insecure {copy}")).json();
        assert_eq!(described["mediaType"], INDEX);
        assert_eq!(described["manifests"].as_array().expect("a list").len(), 4);
        let one = registry.image("one:1");
        host.docker(&format!("tag {name} {one}")).ok();
        host.docker(&format!("push --platform linux/{OTHER} {one}")).code(0);
        host.docker(&format!("rmi -f {name} {copy} {one}")).ok();

        // What was pushed is whole.
        for platform in [architecture(), OTHER] {
            let run = format!("run --rm --platform linux/{platform} {copy} cat /architecture");
            host.docker(&run).code(0).stdout(platform);
        }
        host.docker(&format!("pull --platform linux/{OTHER} {one}")).code(0);
        let answer = host.get(&format!("/images/{copy}/json?manifests=1")).json();
        assert!(manifests(&answer).iter().all(|(_, available)| *available), "{answer}");
    });
}

#[test]
fn names_and_platforms_are_taken_away() {
    on_host(|host| {
        let (_registry, name, digest) = two_platforms(host);
        host.docker(&format!("pull {name}")).ok();
        host.docker(&format!("pull --platform linux/{OTHER} {name}")).ok();
        host.docker(&format!("tag {name} also:1")).ok();
        host.docker("image prune -f").code(0);
        host.docker(&format!("run --rm --platform linux/{OTHER} also:1 true")).code(0);

        host.docker(&format!("create --name user --platform linux/{OTHER} also:1")).ok();
        host.docker(&format!("rmi {name}")).code(0).stdout_has("Untagged");
        host.docker("rmi also:1").code(1).stderr_has("is using its referenced image");
        host.docker("rm user").ok();
        let gently = host.docker(&format!("image rm --platform linux/{OTHER} also:1"));
        gently.code(1).stderr_has("force");
        let removed = host.docker(&format!("image rm -f --platform linux/{OTHER} also:1"));
        removed.code(0).stdout_has("Deleted: sha256:");
        host.docker("run --rm also:1 cat /architecture").code(0).stdout(architecture());
        host.docker(&format!("run --rm --pull never --platform linux/{OTHER} also:1")).code(125);

        // It comes back to the same name.
        host.docker(&format!("pull --platform linux/{OTHER} {name}")).code(0).stdout_has(&digest);
        host.docker(&format!("rmi {name}")).ok();
        let removed = host.docker("rmi also:1");
        removed.code(0);
        assert_eq!(removed.stdout.matches("Deleted: ").count(), 2 + 2, "{}", removed.stdout);
        assert_eq!(host.docker("images -aq --no-trunc").lines().len(), 1);
    });
}

#[test]
fn platforms_outlive_the_daemon_and_a_prune_takes_them_all() {
    on_host(|host| {
        let (_registry, name, _) = two_platforms(host);
        host.docker(&format!("pull {name}")).ok();
        host.docker(&format!("pull --platform linux/{OTHER} {name}")).ok();
        host.end_daemon(rustix::process::Signal::KILL);
        host.start_daemon();
        let run =
            format!("run --rm --pull never --platform linux/{OTHER} {name} cat /architecture");
        host.docker(&run).code(0).stdout(OTHER);
        host.docker("run -d --name user busybox top").ok();
        host.docker("image prune -af").code(0);
        assert_eq!(host.docker("images -q").lines().len(), 1);
        host.docker("rm -f user").ok();
    });
}

//! Holes that container engines have had, each shown to be closed here: paths that an image or a
//! container leads to the host.

use serde_json::json;
use tare_integration::archive::Tar;
use tare_integration::hostile::{self, Canary, HOSTILE};
use tare_integration::{Host, on_host};

/// CVE-2021-30465, CVE-2019-19921, CVE-2023-27561, CVE-2024-45310: while mounts are made in a volume,
/// another container exchanges the directory above their places for a link to the host.
#[test]
fn racing_links_lead_no_mount_to_the_host() {
    on_host(|host| {
        hostile::load(host);
        let canary = Canary::on(host);
        let file = host.scratch("files").join("file");
        std::fs::write(&file, "").expect("write a file");
        let target = canary.directory().display();
        let (shared, other) = (host.scratch("shared"), host.scratch("other"));
        let (shared, other) = (shared.display(), other.display());
        let race = format!(
            "mkdir /v/turn && ln -s {target} /v/link && echo ready && \
             exec tare-hostile exchange /v/turn /v/link"
        );
        host.docker(&format!("run -d --name racer -v {shared}:/v {HOSTILE} sh -c '{race}'")).ok();
        tare_integration::until("the racer", || {
            host.docker("logs racer").stdout.contains("ready").then_some(())
        });
        let mounts = format!(
            "-v {shared}:/v -v {other}:/v/turn/volume -v {}:/v/turn/file --tmpfs /v/turn/deep/place \
             -w /v/turn/work --device /dev/zero:/v/turn/zero",
            file.display()
        );
        for _ in 0..12 {
            // Whether it runs depends on who is faster; what counts is the host.
            host.docker(&format!("run --rm {mounts} busybox true"));
        }
        canary.is_untouched();
    });
}

/// CVE-2026-41579, CVE-2026-47766: the image's /dev is a link, and devices are made where it leads.
#[test]
fn a_link_for_dev_stays_inside() {
    on_host(|host| {
        let canary = Canary::on(host);
        for target in links_to(&canary) {
            hostile::load_image(host, "dev", Tar::new().link("dev", &target), json!({}));
            for flags in ["", "--privileged", "-t", "--device /dev/zero:/dev/mine"] {
                host.docker(&format!("run --rm {flags} dev true"));
                canary.is_untouched();
            }
        }
    });
}

/// CVE-2019-16884, CVE-2019-19921: /proc and /sys are mounted where a link of the image's leads, and
/// what is masked there is not masked where it counts; or a volume takes their place.
#[test]
fn kernel_file_systems_are_where_they_belong_or_nowhere() {
    on_host(|host| {
        let canary = Canary::on(host);
        for place in ["proc", "sys"] {
            for target in links_to(&canary) {
                let layer = Tar::new().link(place, &target);
                hostile::load_image(host, "kernel", layer, json!({}));
                host.docker("run --rm kernel true")
                    .code(125)
                    .stderr_has("must be mounted on ordinary directory");
                canary.is_untouched();
            }
        }
        let fake = Tar::new().file("proc/self/attr/exec", 0o666, b"");
        hostile::load_image(host, "fake", fake, json!({ "Volumes": { "/proc": {} } }));
        host.docker("run --rm fake true").code(125).stderr_has("not of type proc");
        host.docker("run --rm -v /proc/sys busybox true").code(125).stderr_has("inside /proc");
        host.docker("run --rm -v /proc/self/attr busybox true").code(125);
        let aliased = Tar::new().link("alias", "/proc");
        hostile::load_image(host, "alias", aliased, json!({ "Volumes": { "/alias": {} } }));
        host.docker("run --rm alias true").code(125);
    });
}

/// CVE-2025-31133, CVE-2025-52565: what covers masked paths is the image's.
#[test]
fn masks_are_made_of_nothing_of_the_images() {
    on_host(|host| {
        let fake = Tar::new().file("dev/null", 0o666, b"mine\n").directory("dev/pts", 0o755);
        hostile::load_image(host, "fake", fake, json!({ "Volumes": { "/dev": {} } }));
        host.docker("run --rm fake cat /proc/keys").code(125).stderr_has("null device");
        // Elsewhere the file is the image's own affair, and masks are whole.
        let moved = Tar::new().file("dev/null", 0o666, b"mine\n");
        hostile::load_image(host, "moved", moved, json!({}));
        host.docker("run --rm moved cat /proc/keys").code(0).stdout("");
    });
}

/// The files that every container gets are put where the image's links lead: inside, or nowhere.
#[test]
fn links_for_the_managers_files_stay_inside() {
    on_host(|host| {
        let canary = Canary::on(host);
        let file = canary.file().display().to_string();
        let change = "echo changed >> /etc/hosts; echo changed >> /etc/resolv.conf; hostname";
        for target in links_to(&canary) {
            hostile::load_image(host, "etc", Tar::new().link("etc", &target), json!({}));
            host.docker(&format!("run --rm etc sh -c '{change}'"));
            canary.is_untouched();
        }
        for name in ["hosts", "hostname", "resolv.conf", "passwd", "group"] {
            for target in [file.as_str(), "/proc/sys/kernel/hostname", "/proc/1/root/etc/hosts"] {
                let layer = Tar::new().link(&format!("etc/{name}"), target);
                hostile::load_image(host, "etc", layer, json!({}));
                host.docker(&format!("run --rm etc sh -c '{change}'"));
                host.docker(&format!("run --rm --init -u alice etc sh -c '{change}'"));
                canary.is_untouched();
            }
        }
    });
}

/// CVE-2022-23648: the working directory and the volumes of an image lead to the host.
#[test]
fn an_images_own_paths_stay_inside() {
    on_host(|host| {
        let canary = Canary::on(host);
        for target in links_to(&canary) {
            let config = json!({
                "WorkingDir": "/link/work",
                "Volumes": { "/link/volume": {}, "/link": {}, "/../../link/up": {} },
            });
            hostile::load_image(host, "paths", Tar::new().link("link", &target), config);
            let ran = host.docker("run --rm paths sh -c 'find /link/ -name file | xargs cat'");
            assert!(!ran.stdout.contains("the host's own"), "{ran:#?}");
            host.docker("run --rm -v /link/a/b -w /link/c --tmpfs /link/d paths touch /link/file");
            canary.is_untouched();
        }
    });
}

/// While a new volume is filled with what the image has, a container that has the volume already
/// puts links in the place of what is made there. It follows so closely that it is in time for one
/// of a hundred pipes; a mode that is set by name then goes to a file of the host's.
#[test]
fn filling_a_shared_volume_follows_no_link() {
    const PIPES: u32 = 1000;
    on_host(|host| {
        let canary = Canary::on(host);
        let pipes = (0..PIPES).fold(Tar::new(), |tar, n| tar.pipe(&format!("data/{n}"), 0o4777));
        hostile::load_image(host, "pipes", hostile::with_program(pipes), json!({}));
        for _ in 0..3 {
            let race = format!("tare-hostile replace /data /v {}", canary.file().display());
            host.docker(&format!("run -d --name racer -v /v pipes {race}")).ok();
            tare_integration::until("the racer", || {
                host.docker("logs racer").stdout.contains("ready").then_some(())
            });
            let volume = host.inspect("racer", "{{(index .Mounts 0).Name}}");
            // It may fail, as the volume isn't what was put there.
            host.docker(&format!("create --name filler -v {volume}:/data pipes true"));
            host.docker("rm filler");
            host.docker("rm -f -v racer").ok();
            canary.is_untouched();
        }
    });
}

/// A path on the host as a link of an image's would name it.
fn links_to(canary: &Canary) -> [String; 2] {
    let directory = canary.directory().display().to_string();
    [directory.clone(), format!("../../../../../../../..{directory}")]
}

/// CVE-2021-32760 and its kin: an archive that changes the host while it is unpacked.
#[test]
fn a_layer_stays_in_its_directory() {
    on_host(|host| {
        let canary = Canary::on(host);
        let directory = canary.directory().display().to_string();
        for target in links_to(&canary) {
            for layer in [
                Tar::new().link("out", &target).file("out/made", 0o644, b"changed"),
                Tar::new().link("out", &target).file("out/file", 0o777, b"changed"),
                Tar::new().link("out", &target).directory("out", 0o777),
                Tar::new().link("out", &target).directory("out/made", 0o777),
                Tar::new().link("out", &target).pipe("out/made", 0o777),
                Tar::new().link("out", &target).raw_file("out/.wh.file", b""),
                Tar::new().link("out", &target).raw_file("out/.wh..wh..opq", b""),
                Tar::new().link("out", &format!("{target}/file")).file("out", 0o777, b"changed"),
                Tar::new().raw_file(&format!("../../../../../../../..{directory}/made"), b"x"),
                Tar::new().raw_file(&format!("{directory}/file"), b"changed"),
            ] {
                load(host, layer);
                canary.is_untouched();
            }
        }
    });
}

fn load(host: &Host, layer: Tar) {
    hostile::load_image(host, "layer", layer, json!({}));
    // Not run: what counts is the unpacking, which happens here at the latest.
    host.docker("create --name c1 layer true").ok();
    host.docker("rm -v c1").ok();
}

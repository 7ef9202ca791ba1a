//! What docker hasn't: volumes get other names, are copied, and become archives and come back.

use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;
use serde_json::json;
use tare_integration::archive::Tar;
use tare_integration::{Host, on_host, until_true};

/// Things in a volume that copies are to have, too.
const FILL: &str = "cd /d; mkdir -p a/b; echo text > a/file; ln a/file a/b/hard; ln -s a/file link; \
    chown 7:8 a/file; chmod 4711 a/file; mkfifo pipe; touch -d @1000 a; chmod 1777 .; \
    echo mark > .wh.name; dd if=/dev/zero of=sparse bs=1 count=1 seek=67108863 2>/dev/null";
/// What is seen of it.
const LOOK: &str = "cd /d; stat -c '%n %a %u:%g %h %s %F' . a a/file a/b/hard link pipe .wh.name sparse; \
    stat -c %Y a; readlink link; cat a/b/hard .wh.name; \
    [ $(stat -c %i a/file) = $(stat -c %i a/b/hard) ] && echo one file; du -k sparse | cut -f1";

fn fill(host: &Host, volume: &str) {
    host.docker(&format!("run --rm -v {volume}:/d busybox sh -c '{FILL}'")).ok();
}

#[track_caller]
fn look(host: &Host, volume: &str) -> String {
    host.docker(&format!("run --rm -v {volume}:/d busybox sh -c \"{}\"", LOOK.replace('$', "\\$")))
        .ok()
        .to_owned()
}

#[test]
fn a_volume_gets_another_name() {
    on_host(|host| {
        host.docker("volume create --label tier=front data").ok();
        fill(host, "data");
        let before = look(host, "data");
        assert_eq!(host.post("/volumes/data/rename?name=other", "").status, 204);
        assert_eq!(look(host, "other"), before);
        host.docker("volume inspect --format '{{.Labels.tier}}' other").code(0).stdout("front\n");
        host.docker("volume inspect data").code(1).stderr_has("no such volume");
        // It stays so, and the old name is free.
        host.docker("volume create data").ok();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        assert_eq!(look(host, "other"), before);
        let refused = |path: &str, status: u16, words: &str| {
            let answer = host.post(path, "");
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.message().contains(words), "{answer:?}");
        };
        refused("/volumes/none/rename?name=x1", 404, "get none: no such volume");
        refused("/volumes/data/rename?name=other", 409, "there is a volume other already");
        refused("/volumes/data/rename?name=../x", 400, "includes invalid characters");
        refused("/volumes/data/rename", 400, "name cannot be empty");
        host.docker("create --name c1 -v data:/d busybox").ok();
        refused("/volumes/data/rename?name=x1", 409, "volume is in use");
        host.docker("rm c1").ok();
    });
}

#[test]
fn a_copy_of_a_volume_has_all_that_it_has() {
    on_host(|host| {
        fill(host, "data");
        let before = look(host, "data");
        let answer =
            host.post("/volumes/data/clone", r#"{"Name": "copy", "Labels": {"of": "it"}}"#);
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["Labels"], json!({"of": "it"}));
        assert_eq!(look(host, "copy"), before);
        host.docker("run --rm -v copy:/d busybox sh -c 'echo other > /d/a/file'").ok();
        assert_eq!(look(host, "data"), before);
        assert_eq!(host.post("/volumes/data/clone", r#"{"Name": "copy"}"#).status, 409);
        assert_eq!(host.post("/volumes/none/clone", "{}").status, 404);
        // While someone writes, too.
        let write =
            "i=0; while :; do i=$((i+1)); echo $i > /d/f$((i%50)); rm -f /d/f$((i*7%50)); done";
        host.docker(&format!("run -d --name c1 -v data:/d busybox sh -c '{write}'")).ok();
        for number in 0..5 {
            let body = json!({"Name": format!("copy{number}")}).to_string();
            let answer = host.post("/volumes/data/clone", &body);
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        host.docker("rm -f c1").ok();
        host.docker("volume create -o type=tmpfs -o device=tmpfs memory").ok();
        let answer = host.post("/volumes/memory/clone", "{}");
        assert!(answer.message().contains("its options say what is mounted"), "{answer:?}");
    });
}

#[test]
fn a_volume_becomes_an_archive_and_comes_back() {
    on_host(|host| {
        fill(host, "data");
        let before = look(host, "data");
        let socket = host.places().socket.display().to_string();
        let file = host.scratch("backup").join("data.tar").display().to_string();
        let curl = |arguments: &[&str]| {
            let all = ["-sS", "--fail-with-body", "--unix-socket", &socket];
            host.run("curl", &[&all, arguments].concat())
        };
        curl(&["-o", &file, "http://d/v1.51/volumes/data/archive"]).ok();
        assert!(std::fs::metadata(&file).unwrap().len() < 1 << 20, "its holes are no data");
        host.run("tar", &["-tf", &file]).code(0).stdout_has("./a/file\n");
        let put = ["-T", &file, "http://d/v1.51/volumes/new/archive"];
        curl(&put).code(0).stdout_has("\"Name\":\"new\"");
        assert_eq!(look(host, "new"), before);
        // What is there goes only if that is said.
        host.docker("run --rm -v new:/d busybox touch /d/more").ok();
        let refused = curl(&put);
        assert!(refused.code != 0 && refused.stdout.contains("use replace=true"), "{refused:?}");
        curl(&["-T", &file, "http://d/volumes/new/archive?replace=true"]).ok();
        assert_eq!(look(host, "new"), before);
        host.docker("run --rm -v new:/d busybox ls /d/more").code(1);
        // Compressed, too, from memory, and not while someone has it.
        host.run("gzip", &["-k", &file]).ok();
        curl(&["-T", &format!("{file}.gz"), "http://d/volumes/packed/archive"]).ok();
        assert_eq!(look(host, "packed"), before);
        host.docker("volume create -o type=tmpfs -o device=tmpfs memory").ok();
        host.docker("run -d --name c1 -v memory:/m busybox sh -c 'echo in > /m/file; sleep 1000'")
            .ok();
        until_true("the file", || host.docker("exec c1 test -s /m/file").code == 0);
        curl(&["-o", &file, "http://d/volumes/memory/archive"]).ok();
        host.run("tar", &["-xOf", &file, "./file"]).code(0).stdout("in\n");
        let answer = host.put_archive("/volumes/memory/archive?replace=true", &[0; 1024]);
        assert_eq!(answer.status, 409, "{answer:?}");
        host.docker("rm -f c1").ok();
        assert_eq!(host.get("/volumes/none/archive").status, 404);
    });
}

#[test]
fn an_archive_leads_nowhere_else() {
    on_host(|host| {
        let canary = host.scratch("canary");
        std::fs::write(canary.join("file"), "kept").unwrap();
        let outside = canary.display().to_string();
        let put = |name: &str, archive: Tar| {
            host.put_archive(&format!("/volumes/{name}/archive"), &archive.bytes())
        };
        let device = put("device", Tar::new().device("null", 0o666, (1, 3)));
        assert_eq!(device.status, 400, "{device:?}");
        assert!(device.message().contains("devices=true"), "{device:?}");
        let asked = Tar::new().device("null", 0o666, (1, 3)).bytes();
        assert_eq!(host.put_archive("/volumes/device/archive?devices=1", &asked).status, 200);
        // A link leads within the volume; a path of the archive through one that leads out, too.
        let through = Tar::new().link("out", &outside).file("out/file", 0o644, b"changed");
        put("through", through);
        let up = Tar::new().link("up", "../../../../../..").file(
            &format!("up{outside}/file"),
            0o644,
            b"changed",
        );
        put("up", up);
        put("hard", Tar::new().hard_link("hard", &format!("{outside}/file")));
        put(
            "dots",
            Tar::new().raw_file(&format!("../../../../../../..{outside}/file"), b"changed"),
        );
        assert_eq!(std::fs::read_to_string(canary.join("file")).unwrap(), "kept");
        assert_eq!(std::fs::metadata(canary.join("file")).unwrap().nlink(), 1);
        assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 1);
        // What isn't whole leaves nothing.
        let mut half = Tar::new().file("file", 0o644, &[7; 100_000]).bytes();
        half.truncate(50_000);
        let answer = host.put_archive("/volumes/half/archive", &half);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(host.get("/volumes/half").status, 404);
        let root = host.places().data_root.join("volumes");
        let left: Vec<_> = std::fs::read_dir(root)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

//! The files that COPY, ADD and WORKDIR make, told as `mode owner time path` of each: what dockerd 28.5
//! makes of the same Dockerfiles. Times of what nobody copied are `now`.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tare_integration::buildx::context;
use tare_integration::{Host, on_building_host};

/// When all files of contexts were last changed.
const THEN: u64 = 1_000_000_000;

/// Builds a Dockerfile with these files; gives what is in the image.
fn build(
    host: &Host,
    dockerfile: &str,
    files: &[(&str, &str)],
    more: impl FnOnce(&Path),
) -> Vec<String> {
    let out = host.scratch("out");
    let from = context(host, "context", &[("Dockerfile", dockerfile)]);
    context(host, "context", files);
    more(&from);
    age(&from);
    let (from, tar) = (from.display(), out.join("tar"));
    host.docker(&format!("build -o type=tar,dest={} {from}", tar.display())).ok();
    let listed = listed(&tar);
    std::fs::remove_dir_all(format!("{from}")).unwrap();
    listed
}

fn age(path: &Path) {
    let facts = path.symlink_metadata().unwrap();
    if facts.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| age(&entry.unwrap().path()));
    }
    if facts.is_dir() || facts.is_file() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(THEN);
        File::open(path).unwrap().set_modified(then).unwrap();
    }
}

fn listed(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let mut all = Vec::new();
    for member in archive.entries().unwrap() {
        let member = member.unwrap();
        let header = member.header();
        let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
        let mode = header.mode().unwrap() & 0o7777;
        let time = if header.mtime().unwrap() == THEN { "then" } else { "now" };
        let path = member.path().unwrap().display().to_string();
        let link = member.link_name().unwrap();
        let link = link.map(|link| format!(" -> {}", link.display())).unwrap_or_default();
        let time = if header.entry_type().is_symlink() { "-" } else { time };
        all.push(format!("{mode:o} {uid}:{gid} {time} {path}{link}"));
    }
    all.sort_by_key(|line| line.split(' ').nth(3).map(str::to_owned));
    all
}

#[test]
fn directories_give_what_is_in_them() {
    on_building_host(|host| {
        let dockerfile = "FROM scratch\nCOPY d /x/\nCOPY d/e/f d/g /y/\nCOPY l /z\nCOPY d/s* /w/\n";
        let files = [("d/e/f", "f"), ("d/g", "g"), ("d/s p", "s")];
        let listed = build(host, dockerfile, &files, |context| {
            std::fs::set_permissions(context.join("d/e"), PermissionsExt::from_mode(0o700))
                .unwrap();
            std::fs::set_permissions(context.join("d/g"), PermissionsExt::from_mode(0o4751))
                .unwrap();
            symlink("d/e/f", context.join("l")).unwrap();
            symlink("e", context.join("d/l")).unwrap();
            std::fs::hard_link(context.join("d/e/f"), context.join("d/h")).unwrap();
        });
        let expected = [
            "755 0:0 now w/",
            "644 0:0 then w/s p",
            "755 0:0 then x/",
            "700 0:0 then x/e/",
            "644 0:0 then x/e/f",
            "4751 0:0 then x/g",
            "644 0:0 then x/h -> x/e/f",
            "777 0:0 - x/l -> e",
            "644 0:0 then x/s p",
            "755 0:0 now y/",
            "644 0:0 then y/f",
            "4751 0:0 then y/g",
            "644 0:0 then z",
        ];
        assert_eq!(listed, expected);
    });
}

#[test]
fn owners_and_modes_are_as_asked() {
    on_building_host(|host| {
        let dockerfile = "FROM scratch\nCOPY etc /etc/\nCOPY --chown=me:all a /a\nCOPY --chown=me a /b\n\
            COPY --chown=nobody:77 a /c\nCOPY --chown=12 --chmod=4751 d /d/e\nCOPY --chmod=u=rwX,go=rX d /f\n\
            USER me\nWORKDIR /home/me\nCOPY a .\n";
        let files = [
            ("etc/passwd", "me:x:70:71::/:\n"),
            ("etc/group", "all:x:99:\n"),
            ("a", "a"),
            ("d/e/f", "f"),
        ];
        let listed = build(host, dockerfile, &files, |_| {});
        let expected = [
            "644 70:99 then a",
            "644 70:71 then b",
            "644 0:77 then c",
            "751 12:12 now d/",
            "751 12:12 then d/e/",
            "4751 12:12 then d/e/e/",
            "4751 12:12 then d/e/e/f",
            "755 0:0 then etc/",
            "644 0:0 then etc/group",
            "644 0:0 then etc/passwd",
            "755 0:0 then f/",
            "755 0:0 then f/e/",
            "644 0:0 then f/e/f",
            "755 70:71 now home/",
            "755 70:71 now home/me/",
            "644 0:0 then home/me/a",
        ];
        assert_eq!(listed, expected);
    });
}

#[test]
fn archives_are_put_over_what_is_there() {
    on_building_host(|host| {
        let dockerfile = "FROM scratch\nCOPY base /\nADD a.tar /\nADD --chown=9:8 a.tar /new/\n";
        let files = [("base/usr/lib/old", "old"), ("base/tmp/t", "t"), ("base/full/of", "of")];
        let listed = build(host, dockerfile, &files, |context| {
            symlink("usr/lib", context.join("base/lib")).unwrap();
            std::fs::set_permissions(context.join("base/tmp"), PermissionsExt::from_mode(0o1777))
                .unwrap();
            let mut tar = tar::Builder::new(File::create(context.join("a.tar")).unwrap());
            for (path, text) in [("lib/y", "y"), ("tmp/z", "z"), ("full", "no directory")] {
                let mut header = tar::Header::new_gnu();
                header.set_uid(3);
                header.set_gid(4);
                header.set_mode(0o640);
                header.set_mtime(THEN);
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            tar.finish().unwrap();
        });
        let expected = [
            "640 3:4 then full",
            "777 0:0 - lib -> usr/lib",
            "755 9:8 now new/",
            "640 9:8 then new/full",
            "755 0:0 now new/lib/",
            "640 9:8 then new/lib/y",
            "755 0:0 now new/tmp/",
            "640 9:8 then new/tmp/z",
            "1777 0:0 now tmp/",
            "644 0:0 then tmp/t",
            "640 3:4 then tmp/z",
            "755 0:0 then usr/",
            "755 0:0 now usr/lib/",
            "644 0:0 then usr/lib/old",
            "640 3:4 then usr/lib/y",
        ];
        assert_eq!(listed, expected);
    });
}

#[test]
fn what_cannot_be_copied_is_said_in_known_words() {
    on_building_host(|host| {
        let cases = [
            ("COPY none /x", "failed to calculate checksum of ref", "\"/none\": not found"),
            ("COPY none/*.c /x/", "lstat /none: no such file or directory", ""),
            ("COPY file /y\nCOPY file /y/z", "mkdir /y: not a directory", ""),
            ("COPY file /y\nCOPY d /y", "cannot copy to non-directory: ", "/y"),
            ("COPY d /x\nCOPY d/file /x/file/y/", "lstat /x/file/y: not a directory", ""),
            ("COPY file /y\nWORKDIR /y/z", "lstat /y/z: not a directory", ""),
            (
                "COPY --from=first /none /x",
                "failed to calculate checksum of ref",
                "\"/none\": not found",
            ),
        ];
        for (instructions, one, other) in cases {
            let dockerfile =
                format!("FROM scratch AS first\nCOPY file /\nFROM scratch\n{instructions}\n");
            let files = [("Dockerfile", dockerfile.as_str()), ("file", "f"), ("d/file", "f")];
            let from = context(host, "wrong", &files).display().to_string();
            host.docker(&format!("build {from}")).code(1).stderr_has(one).stderr_has(other);
        }
    });
}

#[test]
fn what_was_built_once_is_built_again_after_its_image_is_gone() {
    on_building_host(|host| {
        let files = [("Dockerfile", "FROM busybox\nCOPY file /\n"), ("file", "f")];
        let from = context(host, "again", &files).display().to_string();
        for _ in 0..3 {
            host.docker(&format!("build -t again {from}")).ok();
            assert_eq!(host.docker("run --rm again cat /file").ok(), "f");
            host.docker("rmi again").ok();
        }
    });
}

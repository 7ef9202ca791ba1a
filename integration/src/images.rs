//! The images that tests run, made from this machine's packages.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::archive::{DockerArchive, Tar};
use crate::programs;

/// The name of a small image with a shell and the usual tools; `docker load` of
/// [`busybox_archive`] makes it.
pub const BUSYBOX: &str = "busybox:latest";

/// The name of an image with a web server; `docker import` of [`nginx_tar`] makes it.
pub const NGINX: &str = "nginx:latest";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n";
const GROUP: &str = "root:x:0:\nalice:x:1000:\naudio:x:29:alice\n";

/// The file tree of [`BUSYBOX`] as a tar: one static program under many names.
pub fn busybox_tar() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let program = std::fs::read("/bin/busybox").expect("read busybox (busybox-static)");
        let list = Command::new("busybox").arg("--list").output().expect("run busybox").stdout;
        let list = String::from_utf8(list).expect("names of programs are text");
        let mut tar = Tar::new();
        for directory in ["bin", "dev", "etc", "home", "proc", "sys", "usr", "var"] {
            tar = tar.directory(directory, 0o755);
        }
        tar = tar
            .directory("root", 0o700)
            .directory("tmp", 0o1777)
            .file("etc/passwd", 0o644, PASSWD.as_bytes())
            .file("etc/group", 0o644, GROUP.as_bytes())
            .file("bin/busybox", 0o755, &program);
        for name in list.lines().filter(|name| *name != "busybox") {
            tar = tar.link(&format!("bin/{name}"), "busybox");
        }
        tar.bytes()
    })
}

/// [`BUSYBOX`] for `docker load`.
pub fn busybox_archive() -> Vec<u8> {
    DockerArchive {
        tags: vec![BUSYBOX.to_owned()],
        layers: vec![busybox_tar().to_vec()],
        config: json!({
            "Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"],
            "Cmd": ["sh"],
            "Labels": { "made.by": "test" },
        }),
    }
    .bytes()
}

/// The file tree of [`NGINX`], a Debian with nginx in it. It is made once, by the script that
/// README's first command uses too, and kept.
pub fn nginx_tar() -> PathBuf {
    let tar = programs::cache().join("nginx.tar");
    if !tar.exists() {
        eprintln!("making {} from packages; this takes a minute, once", tar.display());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/nginx-image");
        let status = Command::new(script).arg(&tar).status().expect("run nginx-image");
        assert!(status.success(), "{script} failed: {status}");
    }
    tar
}

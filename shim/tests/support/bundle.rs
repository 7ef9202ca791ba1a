//! Bundles of a busybox.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Writes a bundle whose init runs `script` by sh; returns its config, for changes.
pub(crate) fn write(bundle: &Path, id: &str, script: &str) -> Value {
    fill_rootfs(&bundle.join("rootfs"));
    let config = config(id, &["/bin/sh", "-c", script]);
    write_config(bundle, &config);
    config
}

pub(crate) fn write_config(bundle: &Path, config: &Value) {
    std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
}

/// An OCI process object, for an exec.
pub(crate) fn process(args: &[&str]) -> Value {
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "noNewPrivileges": true,
    })
}

fn config(id: &str, args: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": process(args),
        "root": {"path": "rootfs"},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
            ],
            "resources": {},
        },
    })
}

/// A busybox with a link for each of its programs.
pub(crate) fn fill_rootfs(rootfs: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let busybox: PathBuf = std::env::split_paths(&path)
        .map(|directory| directory.join("busybox"))
        .find(|path| path.exists())
        .expect("a static busybox is needed in $PATH: apt-get install busybox-static");
    for directory in ["bin", "proc", "dev", "tmp"] {
        std::fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    std::fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
    let programs = "sh cat echo sleep true false kill head seq yes stty tty wc id ls dd tail";
    for program in programs.split(' ') {
        symlink("busybox", rootfs.join("bin").join(program)).unwrap();
    }
}

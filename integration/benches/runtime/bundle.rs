//! The bundles that are run: busybox as the image, and runc's default configuration.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The filter of system calls of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// None, as `runc spec` has it.
    None,
    /// Docker's default.
    Docker,
}

/// A bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Makes a bundle that runs /bin/true, in `scratch` under `name`. It needs busybox, linked
    /// statically, at /bin/busybox.
    pub(crate) fn make(scratch: &Path, name: &str, filter: Filter) -> Bundle {
        let path = scratch.join(name);
        let bin = path.join("rootfs/bin");
        std::fs::create_dir_all(&bin).expect("make the image");
        std::fs::copy("/bin/busybox", bin.join("busybox"))
            .expect("copy /bin/busybox (Debian: busybox-static)");
        for name in ["true", "sleep"] {
            symlink("busybox", bin.join(name)).expect("make a link");
        }
        for name in ["proc", "sys", "dev", "etc", "tmp"] {
            std::fs::create_dir(path.join("rootfs").join(name)).expect("make a directory");
        }
        let bundle = Bundle { path };
        bundle.configure(&["/bin/true"], |config| {
            if filter == Filter::Docker {
                let profile = include_str!("docker-seccomp.json");
                config["linux"]["seccomp"] = serde_json::from_str(profile).expect("it is JSON");
            }
        });
        bundle
    }

    /// Writes the configuration anew, for the program `args` and with `change` made to it.
    pub(crate) fn configure(&self, args: &[&str], change: impl FnOnce(&mut Value)) {
        let mut config: Value =
            serde_json::from_str(include_str!("config.json")).expect("it is JSON");
        config["process"]["args"] = json!(args);
        change(&mut config);
        std::fs::write(self.path.join("config.json"), config.to_string()).expect("write it");
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the contender `name` keeps its containers.
    pub(crate) fn containers(&self, name: &str) -> PathBuf {
        self.path.join(format!("containers-{name}"))
    }
}

//! The image of a hostile container, and what it is aimed at.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::archive::{DockerArchive, Tar};
use crate::host::Host;
use crate::{images, programs};

/// The name of an image with a shell and the program `tare-hostile`.
pub const HOSTILE: &str = "hostile";

/// Gives the host the image [`HOSTILE`].
#[track_caller]
pub fn load(host: &Host) {
    load_image(host, HOSTILE, with_program(Tar::new()), json!({}));
}

/// `layer` with the program in it.
#[track_caller]
pub fn with_program(layer: Tar) -> Tar {
    let program = std::fs::read(programs::directory().join("tare-hostile"));
    let program = program.expect("read tare-hostile, which is built with the tests");
    layer.file("bin/tare-hostile", 0o755, &program)
}

/// Gives the host the image `name` (its tag is `latest`) that has `layer` over the usual shell and tools.
#[track_caller]
pub fn load_image(host: &Host, name: &str, layer: Tar, mut config: serde_json::Value) {
    if let Some(config) = config.as_object_mut() {
        config.entry("Env").or_insert(json!(["PATH=/bin"]));
    }
    let archive = DockerArchive {
        tags: vec![format!("{name}:latest")],
        layers: vec![images::busybox_tar().to_vec(), layer.bytes()],
        config,
    };
    host.docker_with_input("load", &archive.bytes()).ok();
}

/// Something on the host that nobody in a container must ever touch: a directory with one file.
pub struct Canary {
    directory: PathBuf,
}

impl Canary {
    /// The file's mode and content.
    const MODE: u32 = 0o640;
    const TEXT: &str = "the host's own\n";

    /// Puts it on the host.
    #[track_caller]
    pub fn on(host: &Host) -> Self {
        let canary = Self { directory: host.scratch("canary") };
        let file = canary.file();
        std::fs::write(&file, Self::TEXT).expect("write the canary's file");
        std::fs::set_permissions(file, PermissionsExt::from_mode(Self::MODE))
            .expect("set its mode");
        canary
    }

    /// The directory, as the host and as a hostile link call it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file in it.
    pub fn file(&self) -> PathBuf {
        self.directory.join("file")
    }

    /// Requires that it is as it was.
    #[track_caller]
    pub fn is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(&self.directory)
            .expect("list the canary")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names, ["file"], "something was made on the host");
        let mode = std::fs::metadata(self.file()).expect("look at the canary").permissions().mode();
        assert_eq!(mode & 0o7777, Self::MODE, "the mode of a file on the host was changed");
        let text = std::fs::read_to_string(self.file()).expect("read the canary");
        assert_eq!(text, Self::TEXT, "a file on the host was changed");
    }
}

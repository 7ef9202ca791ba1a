//! The images that are pulled.

use std::path::Path;

use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar, pack};

use crate::content::Content;

/// An image, before anyone has it.
pub(crate) struct Set {
    /// Its name in the registry.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// It is in the registry with layers of gzip; also with layers of zstd, as `NAME-zstd`?
    pub(crate) zstd: bool,
}

/// Those that are pulled into an empty store.
pub(crate) const PULLED: [Set; 4] = [
    Set { name: "one", what: "1 layer, 300 MB", zstd: true },
    Set { name: "twelve", what: "12 layers, 1 GB", zstd: true },
    Set { name: "forty", what: "40 layers of 500 KB", zstd: false },
    Set { name: "many", what: "1 layer, 30,000 files", zstd: false },
];

/// Their names, as `--images` takes them.
pub(crate) const NAMES: [&str; 6] = ["one", "one-zstd", "twelve", "twelve-zstd", "forty", "many"];

/// `twelve` with another uppermost layer.
pub(crate) const SHARED: Set =
    Set { name: "shared", what: "11 of 12 layers are there", zstd: false };

/// How many images a long list has.
pub(crate) const LISTED: usize = 1000;

/// Writes all images into `directory`, each as `NAME.tar` for `docker load`.
pub(crate) fn write(directory: &Path) {
    let mut content = Content::of(Path::new("/usr"));
    let write = |name: &str, layers: &[Vec<u8>], tag: String| {
        let archive = DockerArchive { tags: vec![tag], layers: layers.to_vec(), config: json!({}) };
        let path = directory.join(format!("{name}.tar"));
        std::fs::write(path, archive.bytes()).expect("write an image");
    };
    let tag = |name: &str| format!("{}/{name}:latest", crate::registry::ADDRESS);
    write("one", &[content.layer(300 << 20)], tag("one"));
    let mut twelve: Vec<_> = (0..12).map(|_| content.layer(85 << 20)).collect();
    write("twelve", &twelve, tag("twelve"));
    twelve[11] = content.layer(10 << 20);
    write("shared", &twelve, tag("shared"));
    drop(twelve);
    let forty: Vec<_> = (0..40).map(|_| content.layer(500 << 10)).collect();
    write("forty", &forty, tag("forty"));
    write("many", &[content.small_files(30_000)], tag("many"));
    std::fs::write(directory.join("thousand.tar"), thousand()).expect("write images");
}

/// A thousand images with one layer.
fn thousand() -> Vec<u8> {
    let layer = Tar::new().file("etc/motd", 0o644, b"hello\n").bytes();
    let mut parts = std::collections::BTreeMap::new();
    let mut manifests = Vec::new();
    for number in 0..LISTED {
        let archive = DockerArchive {
            tags: vec![format!("thousand/{number}:latest")],
            layers: vec![layer.clone()],
            config: json!({ "Labels": { "number": number.to_string() } }),
        };
        for (name, content) in archive.parts() {
            if name == "manifest.json" {
                let manifest: Vec<serde_json::Value> =
                    serde_json::from_slice(&content).expect("it is a list");
                manifests.extend(manifest);
            } else {
                parts.insert(name, content);
            }
        }
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.push(("manifest.json".to_owned(), json!(manifests).to_string().into_bytes()));
    pack(&parts)
}

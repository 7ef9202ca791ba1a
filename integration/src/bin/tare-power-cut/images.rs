//! The images that the guest pulls and loads, as files of the host: in the layout of a
//! `docker-registry`, and as archives.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tare_integration::archive::{DockerArchive, Tar, architecture, digest, gzip};

use crate::random::Random;

/// How many images there are.
pub(crate) const IMAGES: usize = 6;
/// How many threads work on them. Each has names of its own for the same content.
pub(crate) const WORKERS: usize = 3;
/// Where the registry listens in the guest.
pub(crate) const REGISTRY: &str = "127.0.0.1:5000";

/// The name under which a worker pulls an image.
pub(crate) fn pulled(worker: usize, image: usize) -> String {
    format!("{REGISTRY}/w{worker}/image{image}:latest")
}

/// The name under which a worker loads it.
pub(crate) fn loaded(worker: usize, image: usize) -> String {
    format!("loaded/w{worker}-image{image}:latest")
}

/// Writes all of them below `directory`.
pub(crate) fn make(directory: &Path) -> std::io::Result<()> {
    let shared: Vec<_> = (0..3).map(|number| layer(number, number == 0)).collect();
    for image in 0..IMAGES {
        // The lowest is everyone's, the next some images', the uppermost its own.
        let mut layers = vec![shared[0].clone()];
        if image % 3 > 0 {
            layers.push(shared[image % 3].clone());
        }
        layers.push(layer(10 + image, false));
        let config = json!({ "Cmd": ["/bin/busybox", "sleep", "1000"], "Env": ["PATH=/bin"] });
        for worker in 0..WORKERS {
            let tags = vec![loaded(worker, image)];
            let archive = DockerArchive { tags, layers: layers.clone(), config: config.clone() };
            fs::write(directory.join(format!("w{worker}-image{image}.tar")), archive.bytes())?;
        }
        publish(&directory.join("registry"), image, &layers, &config)?;
    }
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
         maintenance:\n    uploadpurging:\n      enabled: false\nhttp:\n  addr: {REGISTRY}\n",
        directory.join("registry").display()
    );
    fs::write(directory.join("registry.yml"), config)
}

/// A layer with files small and less small, links, and marks of what is deleted.
fn layer(number: usize, lowest: bool) -> Vec<u8> {
    let mut random = Random::new(number as u64);
    let mut tar = Tar::new().directory(&format!("of{number}"), 0o755);
    if lowest {
        let busybox = fs::read("/bin/busybox").expect("read busybox (busybox-static)");
        tar = tar.directory("bin", 0o755).file("bin/busybox", 0o755, &busybox);
        tar = tar.directory("shared", 0o1777).file("shared/doomed", 0o644, b"doomed");
    }
    for file in 0..20 {
        let size = if file == 0 { 300_000 } else { random.below(9000) };
        let content = random.bytes(size);
        tar = tar.file(&format!("of{number}/file{file}"), 0o640, &content);
    }
    tar = tar.link(&format!("of{number}/link"), "file1").file("shared/last", 0o600, &[7; 100]);
    if !lowest {
        tar = tar.file("shared/.wh.doomed", 0o644, b"");
    }
    tar.bytes()
}

fn publish(root: &Path, image: usize, layers: &[Vec<u8>], config: &Value) -> std::io::Result<()> {
    let root = root.join("docker/registry/v2");
    let blob = |content: &[u8]| -> std::io::Result<String> {
        let digest = digest(content);
        let hex = digest.trim_start_matches("sha256:");
        let place = root.join("blobs/sha256").join(&hex[..2]).join(hex);
        fs::create_dir_all(&place)?;
        fs::write(place.join("data"), content)?;
        Ok(digest)
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": config, "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string();
    let mut blobs = vec![blob(config.as_bytes())?];
    let mut described = Vec::new();
    for layer in layers {
        let packed = gzip(layer);
        let digest = blob(&packed)?;
        described.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest, "size": packed.len(),
        }));
        blobs.push(digest);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": blobs[0], "size": config.len() },
        "layers": described,
    })
    .to_string();
    let manifest = blob(manifest.as_bytes())?;
    for worker in 0..WORKERS {
        let repository = root.join(format!("repositories/w{worker}/image{image}"));
        let link = |place: &str, digest: &str| -> std::io::Result<()> {
            let place = repository.join(place.replace("DIGEST", &digest.replace(':', "/")));
            fs::create_dir_all(&place)?;
            fs::write(place.join("link"), digest)
        };
        for digest in &blobs {
            link("_layers/DIGEST", digest)?;
        }
        link("_manifests/revisions/DIGEST", &manifest)?;
        link("_manifests/tags/latest/current", &manifest)?;
        link("_manifests/tags/latest/index/DIGEST", &manifest)?;
    }
    Ok(())
}

//! Images to be broken.

use serde_json::json;
use tare_integration::Host;
use tare_integration::archive::{DockerArchive, Tar, noise};
use tare_integration::images::busybox_tar;
use tare_integration::registry::Registry;

/// An archive of busybox with layers of noise upon it, each of so many bytes in a file `own-SEED`.
pub(crate) fn archive(name: &str, layers: &[(u64, usize)]) -> Vec<u8> {
    let own = layers.iter().map(|(seed, length)| {
        Tar::new().file(&format!("own-{seed}"), 0o644, &noise(*seed, *length)).bytes()
    });
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let archive = DockerArchive {
        tags: vec![if has_tag { name.to_owned() } else { format!("{name}:latest") }],
        layers: std::iter::once(busybox_tar().to_vec()).chain(own).collect(),
        config: json!({ "Cmd": ["sh"], "Env": ["PATH=/bin"] }),
    };
    archive.bytes()
}

/// Has such an image in the registry alone; gives its name there.
pub(crate) fn publish(
    host: &Host,
    registry: &Registry,
    name: &str,
    layers: &[(u64, usize)],
) -> String {
    let name = registry.image(name);
    host.docker_with_input("load", &archive(&name, layers)).ok();
    host.docker(&format!("push {name}")).ok();
    host.docker(&format!("rmi {name}")).ok();
    name
}

/// The layers of an image that came from a registry, as blobs: their digests, the lowest first.
pub(crate) fn layer_blobs(host: &Host, name: &str) -> Vec<String> {
    let manifest = host.inspect(name, "{{index .RepoDigests 0}}");
    let hex = manifest.split("sha256:").nth(1).expect("a digest").trim().to_owned();
    let manifest = std::fs::read(blob_path(host, &hex)).expect("read the manifest's blob");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let layers = manifest["layers"].as_array().expect("a manifest of an image");
    let digest = |layer: &serde_json::Value| layer["digest"].as_str().expect("a text").to_owned();
    layers.iter().map(|layer| digest(layer).trim_start_matches("sha256:").to_owned()).collect()
}

/// Where a blob is.
pub(crate) fn blob_path(host: &Host, hex: &str) -> std::path::PathBuf {
    host.outside(&host.places().data_root.join("blobs/sha256").join(hex))
}

//! What no `docker push` makes: lists of images for several platforms, put into a registry by hand.

use serde_json::{Value, json};

use super::Registry;
use crate::archive::{Tar, digest, gzip};
use crate::host::Host;
use crate::images::busybox_tar;

/// Media types.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Of a list.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const IN_TOTO: &str = "application/vnd.in-toto+json";

impl Registry {
    /// Puts an image for each of these processors, which is busybox with the processor's name in
    /// `/architecture`, with an attestation each, and the list of them all under a tag. Gives the
    /// digest of the list.
    #[track_caller]
    pub fn put_list(&self, host: &Host, name: &str, tag: &str, architectures: &[&str]) -> String {
        let mut entries = Vec::new();
        for architecture in architectures {
            let image = self.put_image(host, name, architecture);
            let of = image["digest"].clone();
            entries.push(with(
                image,
                &json!({ "platform": { "os": "linux", "architecture": architecture } }),
            ));
            let statement = json!({ "predicateType": "https://spdx.dev/Document", "of": of });
            let config = self.put_blob(host, name, b"{}", CONFIG);
            let layer = self.put_blob(host, name, statement.to_string().as_bytes(), IN_TOTO);
            let attestation = self.put_described(host, name, None, &config, &[layer]);
            let about = json!({
                "platform": { "os": "unknown", "architecture": "unknown" },
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": of,
                },
            });
            entries.push(with(attestation, &about));
        }
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        self.put_manifest(host, name, Some(tag), INDEX, &list)["digest"]
            .as_str()
            .expect("a text")
            .into()
    }

    fn put_image(&self, host: &Host, name: &str, architecture: &str) -> Value {
        let mark = Tar::new().file("architecture", 0o644, architecture.as_bytes()).bytes();
        let layers = [busybox_tar().to_vec(), mark];
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
            "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": { "for": architecture } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.put_blob(host, name, config.to_string().as_bytes(), CONFIG);
        let layers: Vec<Value> =
            layers.iter().map(|layer| self.put_blob(host, name, &gzip(layer), LAYER)).collect();
        self.put_described(host, name, None, &config, &layers)
    }

    fn put_described(
        &self,
        host: &Host,
        name: &str,
        tag: Option<&str>,
        config: &Value,
        layers: &[Value],
    ) -> Value {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        self.put_manifest(host, name, tag, MANIFEST, &manifest)
    }

    /// Puts a manifest under a tag, or under its digest alone, and describes it.
    #[track_caller]
    pub fn put_manifest(
        &self,
        host: &Host,
        name: &str,
        tag: Option<&str>,
        media_type: &str,
        manifest: &Value,
    ) -> Value {
        let content = manifest.to_string().into_bytes();
        let described = describe(&content, media_type);
        let own = described["digest"].as_str().expect("a text");
        let url = format!("http://{}/v2/{name}/manifests/{}", self.address, tag.unwrap_or(own));
        let header = format!("Content-Type: {media_type}");
        self.send(host, &["-X", "PUT", "-H", &header, &url], &content);
        described
    }

    /// Puts a blob, and describes it.
    #[track_caller]
    pub fn put_blob(&self, host: &Host, name: &str, content: &[u8], media_type: &str) -> Value {
        let described = describe(content, media_type);
        let url = format!("http://{}/v2/{name}/blobs/uploads/", self.address);
        let begun = host.run("curl", &["-sSf", "-X", "POST", "-D", "-", "-o", "/dev/null", &url]);
        let headers = begun.ok().to_owned();
        let location = headers
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .expect("the registry says where to send it")
            .trim();
        let digest = described["digest"].as_str().expect("a text");
        let url = format!("{location}&digest={digest}");
        self.send(
            host,
            &["-X", "PUT", "-H", "Content-Type: application/octet-stream", &url],
            content,
        );
        described
    }

    fn send(&self, host: &Host, arguments: &[&str], content: &[u8]) {
        let file = self.config.with_file_name("upload");
        std::fs::write(&file, content).expect("write what is sent");
        let data = format!("@{}", file.display());
        let all = [&["-sSf", "--data-binary", &data], arguments].concat();
        host.run("curl", &all).ok();
    }
}

fn describe(content: &[u8], media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

fn with(mut entry: Value, rest: &Value) -> Value {
    for (key, value) in rest.as_object().expect("an object") {
        entry[key] = value.clone();
    }
    entry
}

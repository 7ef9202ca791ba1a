//! What a result was made from, as `--metadata-file` and `docker buildx history inspect` show it: a
//! predicate of SLSA's provenance 0.2. It stays with the record; images carry none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tare_core::image::Platform;
use tare_proto::builds::moby::buildkit::v1 as api;

/// What it is.
pub(super) const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// Of which version.
const PREDICATE: &str = "https://slsa.dev/provenance/v0.2";
const BUILD_TYPE: &str = "https://mobyproject.org/buildkit@v1";
const METADATA: &str = "https://mobyproject.org/buildkit@v1#metadata";
/// What was asked that says more about this machine than about the result.
const OF_THE_HOST: [&str; 4] = ["cgroup-parent", "image-resolve-mode", "platform", "cache-imports"];

/// What a result was made from.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Sources {
    /// Who read what was asked.
    pub(in super::super) frontend: String,
    /// What was asked.
    pub(in super::super) attributes: BTreeMap<String, String>,
    /// Images by their whole names, with their digests: `docker.io/library/x:1@sha256:...`.
    pub(in super::super) images: Vec<String>,
}

/// How a record names what version it is.
pub(super) fn annotations() -> BTreeMap<String, String> {
    BTreeMap::from([("in-toto.io/predicate-type".to_owned(), PREDICATE.to_owned())])
}

/// The predicate.
pub(super) fn predicate(record: &api::BuildHistoryRecord, sources: &Sources) -> Vec<u8> {
    let asked = super::record::without_passwords(&sources.attributes);
    let context_key = asked.get("contextkey").map_or("context", String::as_str);
    let context = asked.get(context_key);
    let entry = asked.get("filename").map_or("Dockerfile", String::as_str);
    let mut config_source = json!({ "entryPoint": entry });
    if let Some(context) = context {
        config_source["uri"] = json!(context);
    }
    let is_shown = |name: &str| {
        !OF_THE_HOST.contains(&name)
            && name != "filename"
            && name != context_key
            && !name.starts_with("attest:")
            && !name.starts_with("vcs:")
    };
    let args: BTreeMap<_, _> = asked.iter().filter(|(name, _)| is_shown(name)).collect();
    let vcs: BTreeMap<_, _> = asked
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("vcs:")?, value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let locals: Vec<Value> = match context {
        Some(_) => Vec::new(),
        None => ["context", "dockerfile"].map(|name| json!({ "name": name })).into(),
    };
    let mut parameters = Map::new();
    parameters.insert("frontend".to_owned(), json!(sources.frontend));
    if !args.is_empty() {
        parameters.insert("args".to_owned(), json!(args));
    }
    if !locals.is_empty() {
        parameters.insert("locals".to_owned(), json!(locals));
    }
    let mut metadata = json!({
        "buildInvocationID": record.r#ref,
        "buildStartedOn": record.created_at.as_ref().map(ToString::to_string),
        "buildFinishedOn": record.completed_at.as_ref().map(ToString::to_string),
        "completeness": {
            "parameters": true,
            "environment": true,
            "materials": locals.is_empty(),
        },
        "reproducible": false,
        (METADATA): {},
    });
    if !vcs.is_empty() {
        metadata[METADATA]["vcs"] = json!(vcs);
    }
    let predicate = json!({
        "builder": { "id": "" },
        "buildType": BUILD_TYPE,
        "materials": sources.images.iter().map(|name| material(name)).collect::<Vec<_>>(),
        "invocation": {
            "configSource": config_source,
            "parameters": parameters,
            "environment": { "platform": Platform::host().to_string() },
        },
        "metadata": metadata,
    });
    serde_json::to_vec_pretty(&predicate).unwrap_or_default()
}

/// An image as a package's address.
fn material(name: &str) -> Value {
    let (name, digest) = name.split_once('@').unwrap_or((name, ""));
    let repository = name.strip_prefix("docker.io/library/").unwrap_or(name);
    let repository = repository.strip_prefix("docker.io/").unwrap_or(repository);
    let (path, version) = match repository.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (repository, None),
    };
    let version = version.map(|tag| format!("@{tag}")).unwrap_or_default();
    let platform = Platform::host().to_string().replace('/', "%2F");
    let mut material = json!({ "uri": format!("pkg:docker/{path}{version}?platform={platform}") });
    if let Some((algorithm, hex)) = digest.split_once(':') {
        material["digest"] = json!({ (algorithm): hex });
    }
    material
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_packages() {
        let material = material("docker.io/library/alpine:3.20@sha256:abc");
        let uri = material["uri"].as_str().unwrap();
        assert!(uri.starts_with("pkg:docker/alpine@3.20?platform=linux%2F"), "{uri}");
        assert_eq!(material["digest"]["sha256"], "abc");
        let other = super::material("registry:5000/a/b");
        assert!(other["uri"].as_str().unwrap().starts_with("pkg:docker/registry:5000/a/b?"));
        assert!(other.get("digest").is_none());
    }

    #[test]
    fn what_was_asked_is_told_without_secrets() {
        let attributes = [
            ("context", "https://me:secret@host/repository"),
            ("build-arg:X", "1"),
            ("cgroup-parent", "/x"),
            ("vcs:revision", "abc"),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sources = Sources {
            frontend: "dockerfile.v0".into(),
            attributes: attributes.into(),
            images: Vec::new(),
        };
        let predicate = predicate(&api::BuildHistoryRecord::default(), &sources);
        assert!(!String::from_utf8(predicate.clone()).unwrap().contains("secret"));
        let predicate: Value = serde_json::from_slice(&predicate).unwrap();
        let invocation = &predicate["invocation"];
        assert_eq!(invocation["parameters"]["args"], json!({ "build-arg:X": "1" }));
        assert_eq!(invocation["configSource"]["uri"], "https://me:xxxxx@host/repository");
        assert_eq!(predicate["metadata"][METADATA]["vcs"]["revision"], "abc");
    }
}

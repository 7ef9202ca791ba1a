//! What a build is asked for: the attributes of the `dockerfile.v0` front end, as buildx sends them.

mod hosts;
mod limits;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use tare_core::container::Ulimit;
use tare_dockerfile::instruction::Network;
use tare_dockerfile::plan::Fresh;
use tare_dockerfile::platform::Platform;

use crate::error::{Error, Result};

/// The file that is built from, where nothing else is said.
pub const DOCKERFILE: &str = "Dockerfile";
/// The directory of a session that has the context.
pub const CONTEXT: &str = "context";
/// The directory of a session that has the Dockerfile.
pub const DOCKERFILE_DIRECTORY: &str = "dockerfile";

/// What is asked for. `Default` asks for the last stage of `Dockerfile` in a session's directories.
#[derive(Debug, Clone, Default)]
pub struct Attrs {
    /// The Dockerfile's path; none: `Dockerfile`.
    pub file: Option<String>,
    /// The directory of the session that has the Dockerfile, even if the context is elsewhere.
    pub file_directory: Option<String>,
    /// Where the context is: an address or a repository; none: a directory of the session.
    pub context: Option<String>,
    /// The directory of the context that is meant.
    pub context_directory: Option<String>,
    /// A context that is a repository keeps its `.git`.
    pub keep_git_directory: bool,
    /// The stage that is wanted; none: the last.
    pub target: Option<String>,
    /// The platforms that are built for; none: this machine's.
    pub platforms: Vec<Platform>,
    /// The result is a list of images, even if there is one.
    pub several_platforms: bool,
    /// Values of arguments.
    pub arguments: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Stages that are made anew.
    pub fresh: Fresh,
    /// Where images are looked for.
    pub resolve: ResolveMode,
    /// The network of commands that ask for none.
    pub network: Option<Network>,
    /// Names that commands know besides.
    pub hosts: Vec<(String, IpAddr)>,
    /// Bytes of `/dev/shm`; zero: as usual.
    pub shm_size: u64,
    /// Limits of commands.
    pub ulimits: Vec<Ulimit>,
    /// The cgroup that commands are in.
    pub cgroup_parent: String,
    /// The name of the machine that commands see.
    pub hostname: String,
    /// Contexts by name.
    pub contexts: BTreeMap<String, String>,
    /// What is known of contexts that other builds make, by name: JSON.
    pub input_metadata: BTreeMap<String, String>,
    /// Sessions that have directories, where that is another one.
    pub sessions: BTreeMap<String, String>,
    /// What is asked of the file, rather than to build it: `frontend.lint`.
    pub call: Option<String>,
    /// The image that understands the file.
    pub syntax: Option<String>,
    /// Checks of the file, in place of its own.
    pub checks: Option<String>,
    /// What comes before the names of cache mounts.
    pub cache_namespace: String,
    /// The time of all that is made, in seconds since 1970.
    pub epoch: Option<i64>,
    /// Where results of earlier builds are known.
    pub imports: Vec<CacheOption>,
}

/// Where images are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResolveMode {
    /// Here, and then in their registries.
    #[default]
    Default,
    /// The same.
    PreferLocal,
    /// In their registries alone.
    Pull,
}

/// A place for results of builds: `type=registry,ref=...`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CacheOption {
    /// What kind of place: `registry`, `local`, `inline`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Where.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
}

impl Attrs {
    /// Reads the attributes of a request.
    ///
    /// # Errors
    /// What means nothing, in `BuildKit`'s words, and what is not there.
    pub fn parse(attrs: &BTreeMap<String, String>, here: &Platform) -> Result<Self> {
        let text = |name: &str| attrs.get(name).filter(|value| !value.is_empty());
        let below = |prefix: &str| -> BTreeMap<String, String> {
            let found = attrs.iter().filter_map(|(name, value)| {
                Some((name.strip_prefix(prefix)?.to_owned(), value.clone()))
            });
            found.collect()
        };
        refuse_attestations(attrs)?;
        let platforms = platforms(text("platform"), here)?;
        let contexts_key = attrs.get("contextkey").map_or(CONTEXT, String::as_str);
        let several = text("build-arg:BUILDKIT_MULTI_PLATFORM").or_else(|| text("multi-platform"));
        let keep_git = text("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        let hostname = text("build-arg:BUILDKIT_SANDBOX_HOSTNAME").or_else(|| text("hostname"));
        Ok(Self {
            file: attrs.get("filename").cloned(),
            file_directory: attrs.get("dockerfilekey").cloned(),
            context: text(contexts_key).cloned(),
            context_directory: attrs.get("contextsubdir").cloned(),
            keep_git_directory: keep_git.and_then(|text| boolean(text)).unwrap_or(false),
            target: text("target").cloned(),
            several_platforms: several_platforms(several, &platforms)?,
            platforms,
            arguments: below("build-arg:"),
            labels: below("label:"),
            fresh: fresh(attrs.get("no-cache")),
            resolve: resolve_mode(text("image-resolve-mode"))?,
            network: network(text("force-network-mode"))?,
            hosts: hosts::parse(text("add-hosts"))?,
            shm_size: limits::shm_size(text("shm-size"))?,
            ulimits: limits::ulimits(text("ulimit"))?,
            cgroup_parent: text("cgroup-parent").cloned().unwrap_or_default(),
            hostname: hostname.cloned().unwrap_or_default(),
            contexts: below("context:"),
            input_metadata: below("input-metadata:"),
            sessions: below("local-sessionid:"),
            call: attrs.get("requestid").cloned(),
            syntax: text("cmdline").or_else(|| text("source")).cloned(),
            checks: attrs.get("build-arg:BUILDKIT_DOCKERFILE_CHECK").cloned(),
            cache_namespace: text("build-arg:BUILDKIT_CACHE_MOUNT_NS").cloned().unwrap_or_default(),
            epoch: epoch(text("build-arg:SOURCE_DATE_EPOCH"))?,
            imports: imports(text("cache-imports"), text("cache-from"))?,
        })
    }

    /// The Dockerfile's path.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file.as_deref().unwrap_or(DOCKERFILE)
    }

    /// The session that has the directory `name`, if that is not the build's own.
    #[must_use]
    pub fn session_of(&self, name: &str) -> Option<&str> {
        self.sessions.get(name).map(String::as_str)
    }
}

fn refuse_attestations(attrs: &BTreeMap<String, String>) -> Result<()> {
    let wanted = attrs.iter().find_map(|(name, value)| {
        let kind = name
            .strip_prefix("attest:")
            .or_else(|| name.strip_prefix("build-arg:BUILDKIT_ATTEST_"))?;
        (value != "false" && !value.contains("disabled=true")).then_some(kind)
    });
    match wanted {
        None => Ok(()),
        Some(kind) => Err(Error::unsupported(format!("the attestation {}", kind.to_lowercase()))),
    }
}

fn platforms(text: Option<&String>, here: &Platform) -> Result<Vec<Platform>> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let parse = |text: &str| {
        Platform::parse(text, here).map(|platform| platform.normal()).map_err(|error| {
            Error::invalid(format!("failed to parse target platform {text}: {error}"))
        })
    };
    text.split(',').map(parse).collect()
}

fn several_platforms(said: Option<&String>, platforms: &[Platform]) -> Result<bool> {
    let several = platforms.len() > 1;
    let Some(said) = said else { return Ok(several) };
    match boolean(said) {
        None => Err(Error::invalid(format!("invalid boolean value for multi-platform: {said}"))),
        Some(false) if several => Err(Error::invalid(
            "conflicting config: returning multiple target platforms is not allowed",
        )),
        Some(said) => Ok(said),
    }
}

fn fresh(said: Option<&String>) -> Fresh {
    match said.map(String::as_str) {
        None => Fresh::None,
        Some("") => Fresh::All,
        Some(names) => Fresh::These(names.split(',').map(str::to_owned).collect()),
    }
}

fn resolve_mode(said: Option<&String>) -> Result<ResolveMode> {
    match said.map_or("", String::as_str) {
        "" | "default" => Ok(ResolveMode::Default),
        "local" => Ok(ResolveMode::PreferLocal),
        "pull" => Ok(ResolveMode::Pull),
        other => Err(Error::invalid(format!("invalid image-resolve-mode: {other}"))),
    }
}

fn network(said: Option<&String>) -> Result<Option<Network>> {
    match said.map_or("", String::as_str) {
        "" | "sandbox" => Ok(None),
        "none" => Ok(Some(Network::None)),
        "host" => Ok(Some(Network::Host)),
        other => Err(Error::invalid(format!("invalid netmode {other}"))),
    }
}

fn epoch(said: Option<&String>) -> Result<Option<i64>> {
    let Some(said) = said else { return Ok(None) };
    said.parse().map(Some).map_err(|_| {
        Error::invalid(format!(
            "invalid SOURCE_DATE_EPOCH: {said}: strconv.ParseInt: parsing {said:?}: invalid syntax"
        ))
    })
}

fn imports(json: Option<&String>, from: Option<&String>) -> Result<Vec<CacheOption>> {
    let mut imports: Vec<CacheOption> = match json {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json).map_err(|error| {
            Error::invalid(format!("failed to unmarshal cache-imports ({json:?}): {error}"))
        })?,
    };
    let registries = from.into_iter().flat_map(|from| from.split(','));
    imports.extend(registries.map(|name| CacheOption {
        kind: "registry".to_owned(),
        attrs: BTreeMap::from([("ref".to_owned(), name.to_owned())]),
    }));
    Ok(imports)
}

/// A yes or no in one of the forms that Go reads.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(attrs: &[(&str, &str)]) -> Result<Attrs> {
        let attrs = attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Attrs::parse(&attrs.collect(), &Platform::new("linux", "amd64", ""))
    }

    #[test]
    fn what_buildx_sends_is_read() {
        let attrs = parse(&[
            ("filename", "sub/Dockerfile"),
            ("build-arg:VERSION", "1"),
            ("build-arg:BUILDKIT_CACHE_MOUNT_NS", "mine"),
            ("label:a", "b"),
            ("no-cache", "one,two"),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "host"),
            ("add-hosts", "A=10.0.0.1,b=::1"),
            ("ulimit", "nofile=5:10"),
            ("shm-size", "1024"),
            ("platform", "linux/arm64/v8,amd64"),
            ("context:base", "docker-image://alpine"),
            ("local-sessionid:context", "other"),
            ("requestid", "frontend.lint"),
            ("cache-imports", r#"[{"Type":"local","Attrs":{"src":"x"}}]"#),
            ("cache-from", "a,b"),
            ("build-arg:SOURCE_DATE_EPOCH", "5"),
        ])
        .unwrap();
        assert_eq!(attrs.file(), "sub/Dockerfile");
        assert_eq!(attrs.arguments.get("VERSION").map(String::as_str), Some("1"));
        assert_eq!(attrs.fresh, Fresh::These(vec!["one".into(), "two".into()]));
        assert_eq!(attrs.resolve, ResolveMode::Pull);
        assert_eq!(attrs.network, Some(Network::Host));
        assert_eq!(attrs.hosts[0], ("a".to_owned(), "10.0.0.1".parse().unwrap()));
        assert_eq!((attrs.ulimits[0].soft, attrs.ulimits[0].hard), (5, 10));
        assert_eq!(attrs.shm_size, 1024);
        let platforms: Vec<_> = attrs.platforms.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm64", "linux/amd64"]);
        assert!(attrs.several_platforms);
        assert_eq!(attrs.session_of("context"), Some("other"));
        assert_eq!(attrs.cache_namespace, "mine");
        assert_eq!(attrs.epoch, Some(5));
        let kinds: Vec<_> = attrs.imports.iter().map(|import| import.kind.as_str()).collect();
        assert_eq!(kinds, ["local", "registry", "registry"]);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (name, value, expected) in [
            ("image-resolve-mode", "x", "invalid image-resolve-mode: x"),
            ("force-network-mode", "x", "invalid netmode x"),
            ("add-hosts", "x", "failed to parse additional hosts: invalid key-value pair x"),
            ("add-hosts", "x=y", "failed to parse additional hosts: failed to parse IP y"),
            ("multi-platform", "x", "invalid boolean value for multi-platform: x"),
            ("attest:provenance", "mode=max", "the attestation provenance is not supported"),
            ("attest:sbom", "", "the attestation sbom is not supported"),
            ("platform", "linux/!", "failed to parse target platform linux/!"),
            ("ulimit", "x", "failed to parse ulimit: invalid ulimit argument: x"),
            ("cache-imports", "x", "failed to unmarshal cache-imports (\"x\")"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err();
            assert!(error.message.starts_with(expected), "{name}: {error}");
        }
        assert!(parse(&[("platform", "amd64,arm64"), ("multi-platform", "0")]).is_err());
        assert!(parse(&[("attest:provenance", "false")]).is_ok());
    }
}

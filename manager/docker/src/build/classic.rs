//! `POST /build`: builds an image as docker's classic builder did.
//!
//! What is wrong with the request or its context is answered by a status; once the first step is told
//! the answer has begun, and a failure comes as its last message. A client that goes away ends its build.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use futures_util::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tare_build::classic::{self, Asked, Limits, Said};
use tare_core::image::{ImageId, Reference};
use tare_core::registry::Credentials;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::registry_auth::AuthConfig;
use crate::stream::body_reader::BodyReader;
use crate::stream::json_lines::{self, LineEnd, Message};
use crate::version::ApiVersion;

/// Messages that wait for a slow client.
const BUFFERED: usize = 64;
/// The first version in which programs are told the image.
const TELLS_PROGRAMS: ApiVersion = ApiVersion::new(1, 30);
/// The first version in which a platform can be asked for.
const HAS_PLATFORM: ApiVersion = ApiVersion::new(1, 32);
/// The first version in which there are outputs.
const HAS_OUTPUTS: ApiVersion = ApiVersion::new(1, 40);

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
    request: Request,
) -> Result<Response> {
    // A client that is refused reads why only when all of its context is taken from it.
    let context = BodyReader::new(request.into_body());
    refuse(&query, version)?;
    let asked = asked(&query, version, &headers)?;
    let (to, mut said) = mpsc::channel(BUFFERED);
    let (builder, closing) = (api.builds.builder().clone(), api.closing.clone());
    let cancelled = query.text("buildid").map(|id| api.running.begin(id));
    let building = tokio::spawn(async move {
        let client = to.clone();
        tokio::select! {
            built = classic::build(&builder, asked, context, to) => built,
            () = client.closed() => Err(tare_build::Error::cancelled()),
            () = closing.wait() => Err(tare_build::Error::system("tared is ending")),
            () = async { match &cancelled {
                Some(cancelled) => cancelled.wait().await,
                None => std::future::pending().await,
            }} => Err(tare_build::Error::cancelled()),
        }
    });
    let Some(first) = said.recv().await else {
        let id = finished(building).await.map_err(|failure| failure.error)?;
        let done = stream::iter([Message::text(format!("{id}\n"))]);
        return Ok(json_lines::response(done, LineEnd::Progress));
    };
    let building = Building {
        first: Some(first),
        said,
        building: Some(building),
        manner: if query.flag("q") { Manner::Quiet } else { Manner::Told },
        to_programs: version >= TELLS_PROGRAMS,
        held: Vec::new(),
        rest: Vec::new(),
    };
    let messages =
        stream::unfold(building, async |mut building| Some((building.next().await?, building)));
    Ok(json_lines::response(messages, LineEnd::Progress))
}

/// Whether the client wants to hear how it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Told,
    /// Only the image, or, if it fails, everything.
    Quiet,
}

/// A build that has begun to tell.
struct Building {
    first: Option<Said>,
    said: mpsc::Receiver<Said>,
    building: Option<JoinHandle<tare_build::Result<ImageId>>>,
    manner: Manner,
    to_programs: bool,
    /// What was not told yet.
    held: Vec<Message>,
    /// What is told at the end, last first.
    rest: Vec<Message>,
}

impl Building {
    async fn next(&mut self) -> Option<Message> {
        if let Some(message) = self.rest.pop() {
            return Some(message);
        }
        loop {
            let said = match self.first.take() {
                Some(first) => Some(first),
                None => self.said.recv().await,
            };
            let Some(said) = said else { break };
            let Some(message) = message(said, self.to_programs) else { continue };
            match self.manner {
                Manner::Told => return Some(message),
                Manner::Quiet => self.held.push(message),
            }
        }
        self.rest = match (finished(self.building.take()?).await, self.manner) {
            (Ok(_), Manner::Told) => return None,
            (Ok(id), Manner::Quiet) => vec![Message::text(format!("{id}\n"))],
            (Err(failure), _) => {
                let mut all = std::mem::take(&mut self.held);
                all.push(Message::failure_with(&failure.error, failure.code));
                all.reverse();
                all
            }
        };
        self.rest.pop()
    }
}

fn message(said: Said, to_programs: bool) -> Option<Message> {
    match said {
        Said::Text(text) => Some(Message::text(text)),
        Said::Error(text) => Some(Message::text(format!("\u{1b}[91m{text}\u{1b}[0m"))),
        Said::Image(id) => to_programs.then(|| Message::aux(json!({ "ID": id.to_string() }))),
    }
}

/// Why a build failed, and the exit code of the command that did.
struct Failure {
    error: Error,
    code: Option<i32>,
}

async fn finished(
    building: JoinHandle<tare_build::Result<ImageId>>,
) -> std::result::Result<ImageId, Failure> {
    let died = |_| tare_build::Error::system("the build was stopped");
    let built = building.await.map_err(died).and_then(|built| built);
    built.map_err(|error| Failure { code: error.exit_code, error: error.into() })
}

/// Refuses what isn't here, by its name.
fn refuse(query: &Query, version: ApiVersion) -> Result<()> {
    if query.flag("squash") {
        return Err(Error::invalid("squash is only supported with experimental mode"));
    }
    if query.text("securityopt").is_some() {
        return Err(Error::invalid("security options are not supported on linux"));
    }
    match query.text("isolation") {
        None | Some("default") => {}
        Some(other @ ("process" | "hyperv")) => {
            return Err(Error::invalid(format!("invalid isolation ({other}): linux")));
        }
        Some(other) => {
            return Err(Error::invalid(format!("unsupported isolation: {other:?}")));
        }
    }
    if query.text("remote") == Some("client-session") {
        return Err(Error::invalid(
            "experimental session with v1 builder is no longer supported, use builder version v2 \
             (BuildKit) instead",
        ));
    }
    if query.text("version") == Some("2") {
        return Err(Error::unsupported("POST /build with version=2 (BuildKit without buildx)"));
    }
    if version >= HAS_OUTPUTS && query.text("outputs").is_some_and(|outputs| outputs != "[]") {
        // Docker's classic builder has taken them and done nothing with them.
        return Err(Error::unsupported("the parameter outputs without BuildKit"));
    }
    Ok(())
}

fn asked(query: &Query, version: ApiVersion, headers: &HeaderMap) -> Result<Asked> {
    let text = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let texts = |name: &str| -> Vec<String> {
        query.all(name).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    };
    let number = |name: &str| query.text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Asked {
        dockerfile: text("dockerfile"),
        names: names(query.all("t"))?,
        remote: query.text("remote").map(str::to_owned),
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        arguments: json_of(query, "buildargs", "error reading build args")?,
        labels: json_of(query, "labels", "error reading labels")?,
        cache_from: json_of(query, "cachefrom", "error reading cache-from")?,
        target: text("target"),
        platform: if version >= HAS_PLATFORM { text("platform") } else { String::new() },
        network: text("networkmode"),
        hosts: texts("extrahosts"),
        limits: Limits {
            memory: number("memory"),
            memory_and_swap: number("memswap"),
            cpu_shares: number("cpushares"),
            cpu_period: number("cpuperiod"),
            cpu_quota: number("cpuquota"),
            cpus: text("cpusetcpus"),
            memory_nodes: text("cpusetmems"),
            cgroup_parent: text("cgroupparent"),
            shm_size: query.parse("shmsize")?.unwrap_or_default(),
            ulimits: ulimits(query)?,
        },
        credentials: credentials(headers),
    })
}

/// The names of an image, each once.
fn names<'a>(said: impl Iterator<Item = &'a str>) -> Result<Vec<Reference>> {
    let mut names: Vec<Reference> = Vec::new();
    for name in said.filter(|name| !name.is_empty()) {
        let name = Reference::parse(name)?;
        if name.digest().is_some() {
            return Err(Error::invalid("build tag cannot contain a digest"));
        }
        let name = name.or_latest();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ulimit {
    name: String,
    #[serde(default)]
    soft: i64,
    #[serde(default)]
    hard: i64,
}

fn ulimits(query: &Query) -> Result<Vec<(String, i64, i64)>> {
    let ulimits: Vec<Ulimit> = json_of(query, "ulimits", "error reading ulimit settings")?;
    Ok(ulimits.into_iter().map(|ulimit| (ulimit.name, ulimit.soft, ulimit.hard)).collect())
}

/// What a parameter has in JSON; nothing, if it is absent.
fn json_of<T: DeserializeOwned + Default>(query: &Query, name: &str, doing: &str) -> Result<T> {
    let Some(text) = query.text(name) else { return Ok(T::default()) };
    let read: Option<T> =
        serde_json::from_str(text).map_err(|error| Error::invalid(format!("{doing}: {error}")))?;
    Ok(read.unwrap_or_default())
}

/// What may be shown to registries. What can't be read counts as none, as it does in docker.
fn credentials(headers: &HeaderMap) -> BTreeMap<String, Credentials> {
    let all = || -> Option<BTreeMap<String, AuthConfig>> {
        let json = URL_SAFE.decode(headers.get("x-registry-config")?).ok()?;
        serde_json::from_slice(&json).ok()
    };
    let all = all().unwrap_or_default();
    all.into_iter().map(|(host, config)| (host, config.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::query;

    fn read(text: &str) -> Result<Asked> {
        asked(&query(text), ApiVersion::NEWEST, &HeaderMap::new())
    }

    #[test]
    fn what_clients_send_is_read() {
        let asked = read(
            "t=x&t=x:latest&t=y:1&dockerfile=&buildargs=%7B%22A%22:%221%22,%22B%22:null%7D\
             &labels=%7B%22a%22:%22b%22%7D&cachefrom=%5B%22z%22%5D&memory=5&cpuquota=&shmsize=7\
             &ulimits=%5B%7B%22Name%22:%22nofile%22,%22Soft%22:1,%22Hard%22:2%7D%5D&nocache=1",
        )
        .unwrap();
        let names: Vec<String> = asked.names.iter().map(Reference::familiar).collect();
        assert_eq!(names, ["x:latest", "y:1"]);
        let expected = [("A", Some("1")), ("B", None)];
        let given = asked.arguments.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        assert!(given.eq(expected));
        assert_eq!(asked.labels["a"], "b");
        assert_eq!(asked.cache_from, ["z"]);
        assert_eq!((asked.limits.memory, asked.limits.shm_size), (5, 7));
        assert_eq!(asked.limits.ulimits, [("nofile".to_owned(), 1, 2)]);
        assert!(asked.no_cache && !asked.pull);
        assert!(read("labels=null").unwrap().labels.is_empty());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in ["buildargs=x", "labels=%5B%5D", "t=X", "shmsize=much", "cachefrom=1"] {
            assert!(read(text).is_err(), "{text}");
        }
        let digest = read(&format!("t=x@sha256:{}", "0".repeat(64))).err().unwrap();
        assert_eq!(digest.to_string(), "build tag cannot contain a digest");
        for text in ["squash=1", "securityopt=x", "isolation=hyperv", "remote=client-session"] {
            assert!(refuse(&query(text), ApiVersion::NEWEST).is_err(), "{text}");
        }
        assert!(refuse(&query("isolation=default&squash=0"), ApiVersion::NEWEST).is_ok());
    }
}

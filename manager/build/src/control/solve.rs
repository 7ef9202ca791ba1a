//! A build, from what is asked to what it gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tare_proto::builds::google::rpc;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::frontend::Result as Returned;
use tare_proto::builds::moby::buildkit::v1::frontend::result::Result as Parts;
use tokio::runtime::Handle;
use tonic::{Code, Status};

use super::exports::{check, in_new_words};
use super::front::{Asked, Given, ask};
use super::history::{Ended, Recording, Sources};
use super::jobs::{Job, Verdict};
use super::{Control, failure, status};
use crate::error::{Error, Result};
use crate::export::{self, CacheExport, Exporter};
use crate::solve::Built;

/// What exporters said.
type Said = BTreeMap<String, String>;

/// Does a build to its end. Dropped, it is given up.
pub(super) async fn solve(
    control: &Arc<Control>,
    mut request: api::SolveRequest,
) -> Result<Said, Status> {
    in_new_words(&mut request);
    let permitted = control.builder.settings.permitted;
    check(&request, permitted).map_err(|error| failure::status(&error))?;
    let begun = control.jobs.begin(&request).map_err(|error| failure::status(&error))?;
    let recording = (!request.internal).then(|| Recording::begin(&control.history, &request));
    let mut ending = Ending { job: Arc::clone(&begun.job), recording };
    let done = work(control, &begun.job, request).await;
    let (outcome, built) = match done {
        Ok((said, built)) => (Ok(said), built),
        Err(status) => (Err(status), None),
    };
    ending.end(outcome.clone(), built.as_deref()).await;
    outcome.map_err(|status| failure::of_wire(&status))
}

/// A build that is to be recorded. Dropped before its end, it was given up.
struct Ending {
    job: Arc<Job>,
    recording: Option<Recording>,
}

impl Ending {
    async fn end(&mut self, outcome: Result<Said, rpc::Status>, built: Option<&Built>) {
        self.job.journal.end();
        let Some(recording) = self.recording.take() else { return };
        let sources = built.map(|built| sources(&self.job, built)).unwrap_or_default();
        record(recording, &self.job, outcome, sources).await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        self.job.journal.end();
        let job = Arc::clone(&self.job);
        // A manager that is going has no time for records.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            record(recording, &job, Err(failure::cancelled()), Vec::new()).await;
        });
    }
}

async fn record(
    recording: Recording,
    job: &Job,
    outcome: Result<Said, rpc::Status>,
    sources: Vec<(Option<String>, Sources)>,
) {
    let told = status::all(&job.journal).await;
    recording.end(Ended { told, outcome, sources });
}

/// What each part was made from.
fn sources(job: &Job, built: &Built) -> Vec<(Option<String>, Sources)> {
    let (frontend, attributes) = job.asked();
    let sources = Sources { frontend, attributes, images: built.images.clone() };
    let name = |part: &crate::solve::Part| built.multi.then(|| part.platform.to_string());
    built.parts.iter().map(|part| (name(part), sources.clone())).collect()
}

async fn work(
    control: &Arc<Control>,
    job: &Arc<Job>,
    request: api::SolveRequest,
) -> Result<(Said, Option<Arc<Built>>), rpc::Status> {
    let wire = |error: Error| failure::wire(&error, Code::Unknown);
    let is_steered = request.frontend.is_empty() && request.definition.is_none();
    let caches = request.cache.unwrap_or_default();
    let built = if is_steered {
        match job.verdict().await {
            Ok(Verdict::Returned(returned)) => result(job, returned).map_err(wire)?,
            Ok(Verdict::Failed(status)) => return Err(status),
            Err(_) => return Err(failure::cancelled()),
        }
    } else {
        let asked = Asked {
            frontend: request.frontend,
            definition: request.definition,
            attributes: request.frontend_attrs,
            inputs: request.frontend_inputs,
            imports: caches.imports.into_iter().map(|cache| (cache.r#type, cache.attrs)).collect(),
        };
        match ask(control, job, asked).await.map_err(wire)? {
            Given::Built(built) => Some(Arc::new(built)),
            Given::Again(outcome) => Some(outcome.built),
            Given::Told(_) | Given::Nothing => None,
        }
    };
    let Some(built) = built else { return Ok((Said::new(), None)) };
    let said = give(control, job, &built, request.exporters, caches.exports).await.map_err(wire)?;
    Ok((said, Some(built)))
}

/// What a client returns: parts of what was built for it, all of the same build.
fn result(job: &Job, returned: Returned) -> Result<Option<Arc<Built>>> {
    if !returned.attestations.is_empty() {
        return Err(Error::unsupported("a result with attestations"));
    }
    let ids: Vec<String> = match returned.result {
        None => Vec::new(),
        Some(Parts::RefDeprecated(id)) => vec![id],
        Some(Parts::Ref(reference)) => vec![reference.id],
        Some(Parts::RefsDeprecated(map)) => map.refs.into_values().collect(),
        Some(Parts::Refs(map)) => map.refs.into_values().map(|reference| reference.id).collect(),
    };
    let mut whole: Option<Arc<Built>> = None;
    for id in ids.iter().filter(|id| !id.is_empty()) {
        let found = job.outcome(id);
        let built = found.ok_or_else(|| Error::not_found(format!("no such ref: {id}")))?.built;
        match &whole {
            Some(other) if !Arc::ptr_eq(other, &built) => {
                return Err(Error::unsupported("a result of parts that were built apart"));
            }
            _ => whole = Some(built),
        }
    }
    Ok(whole)
}

/// Exports what was built, everywhere at the same time, and then the cache.
async fn give(
    control: &Arc<Control>,
    job: &Job,
    built: &Built,
    exporters: Vec<api::Exporter>,
    caches: Vec<api::CacheOptionsEntry>,
) -> Result<Said> {
    let (builder, session, journal) = (&control.builder, &job.session, &job.journal);
    let inline = caches.iter().any(|cache| cache.r#type == "inline");
    let exports = exporters.into_iter().enumerate().map(|(index, exporter)| {
        let exporter =
            Exporter { kind: exporter.r#type, attributes: exporter.attrs, index, inline };
        export::export(builder, built, exporter, session, journal)
    });
    let mut said = Said::new();
    for more in try_join_all(exports).await? {
        said.extend(more);
    }
    let caches = caches.into_iter().filter(|cache| cache.r#type != "inline").map(|cache| {
        let cache = CacheExport { kind: cache.r#type, attributes: cache.attrs };
        export::cache(builder, built, cache, session, journal)
    });
    for more in try_join_all(caches).await? {
        said.extend(more.into_iter().filter(|(name, _)| name.starts_with("cache.")));
    }
    Ok(said)
}

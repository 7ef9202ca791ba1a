//! What is asked of a front end: read, and built.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tare_dockerfile::platform::Platform;
use tare_dockerfile::syntax;
use tare_proto::builds::pb;

use super::jobs::{Job, Outcome};
use super::{Control, llb};
use crate::error::{Error, Result};
use crate::solve::{Answer, Built, Part, Request, solve};

/// The front end that is built in.
const DOCKERFILE: &str = "dockerfile.v0";
/// The one that would run others in containers.
const GATEWAY: &str = "gateway.v0";

/// The attribute that says which caches are read.
const IMPORTS: &str = "cache-imports";

/// What is asked.
pub(super) struct Asked {
    /// Of which front end; none: what `definition` says.
    pub(super) frontend: String,
    pub(super) definition: Option<pb::Definition>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) inputs: BTreeMap<String, pb::Definition>,
    /// Caches that are read: their kinds, and where they are.
    pub(super) imports: Vec<(String, BTreeMap<String, String>)>,
}

/// What came of it.
pub(super) enum Given {
    /// It was built.
    Built(Built),
    /// It had been built before.
    Again(Outcome),
    /// What was asked of the file, rather than to build it.
    Told(BTreeMap<String, Vec<u8>>),
    /// Nothing was asked.
    Nothing,
}

/// Does what is asked, for a build.
pub(super) async fn ask(control: &Arc<Control>, job: &Job, asked: Asked) -> Result<Given> {
    match asked.frontend.as_str() {
        "" => match asked.definition.as_ref().map(llb::result).transpose()?.flatten() {
            Some(id) => outcome(control, &id).map(Given::Again),
            None => Ok(Given::Nothing),
        },
        DOCKERFILE => build(control, job, asked).await,
        GATEWAY => {
            let source = asked.attributes.get("source").map_or("", String::as_str);
            syntax::frontend(format!("# syntax={source}").as_bytes())
                .require_here()
                .map_err(|error| Error::invalid(error.to_string()))?;
            build(control, job, asked).await
        }
        other => Err(Error::invalid(format!("invalid frontend: {other}"))),
    }
}

async fn build(control: &Arc<Control>, job: &Job, mut asked: Asked) -> Result<Given> {
    // Most clients say it there as well.
    if !asked.imports.is_empty() && !asked.attributes.contains_key(IMPORTS) {
        let import = |(kind, attrs)| json!({ "Type": kind, "Attrs": attrs });
        let imports: Vec<Value> =
            std::mem::take(&mut asked.imports).into_iter().map(import).collect();
        asked.attributes.insert(IMPORTS.to_owned(), json!(imports).to_string());
    }
    let mut inputs = BTreeMap::new();
    for (name, definition) in &asked.inputs {
        let Some(id) = llb::result(definition)? else {
            return Err(Error::unsupported(format_args!("the empty input {name}")));
        };
        let outcome = outcome(control, &id)?;
        let part = outcome.part().ok_or_else(|| Error::not_found(format!("no such ref: {id}")))?;
        inputs.insert(name.clone(), part.clone());
    }
    let request = Request::of(&asked.attributes, &job.session, inputs, &job.allowed)?;
    job.asks(&asked.frontend, asked.attributes);
    match solve(&control.builder, request, &job.journal).await? {
        Answer::Built(built) => Ok(Given::Built(built)),
        Answer::Told(told) => Ok(Given::Told(told)),
    }
}

/// What another build has made, or this one.
fn outcome(control: &Control, id: &str) -> Result<Outcome> {
    let missing = || Error::not_found(format!("no such ref: {id}"));
    control.jobs.outcome(id).ok_or_else(missing)
}

/// What clients are told of a result beside its files.
pub(super) fn metadata(built: &Built) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut metadata = BTreeMap::new();
    let mut platforms = Vec::new();
    for part in &built.parts {
        let key = |name: &str| match built.multi {
            true => format!("{name}/{}", part.platform),
            false => name.to_owned(),
        };
        metadata.insert(key("containerimage.config"), json_of(&part.image)?);
        if let Some(base) = &part.base {
            metadata.insert(key("containerimage.base.config"), json_of(base)?);
        }
        platforms.push(json!({ "ID": part.platform.to_string(), "Platform": platform(part) }));
    }
    metadata.insert("refs.platforms".to_owned(), json_of(&json!({ "Platforms": platforms }))?);
    Ok(metadata)
}

fn platform(part: &Part) -> Value {
    let Platform { os, architecture, variant, .. } = &part.platform;
    let mut platform = json!({ "architecture": architecture, "os": os });
    if !variant.is_empty() {
        platform["variant"] = json!(variant);
    }
    platform
}

fn json_of(value: &impl Serialize) -> Result<Vec<u8>> {
    let wrong = |error| Error::system(format!("write what an image says of itself: {error}"));
    serde_json::to_vec(value).map_err(wrong)
}

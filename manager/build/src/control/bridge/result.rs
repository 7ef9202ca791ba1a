//! What was built, as clients get it: a reference to each part, and what is known of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tare_proto::builds::moby::buildkit::v1::frontend as api;
use tare_proto::builds::moby::buildkit::v1::frontend::result::Result as Parts;
use tonic::Status;

use crate::control::front::{Asked, Given, ask, metadata};
use crate::control::jobs::Job;
use crate::control::{Control, failure, llb};
use crate::error::Result as Outcome;

/// Builds what is asked for.
pub(super) async fn solve(
    control: &Arc<Control>,
    job: &Job,
    request: api::SolveRequest,
) -> Result<api::SolveResponse, Status> {
    if request.source_policies.iter().any(|policy| !policy.rules.is_empty()) {
        return Err(failure::unsupported("a source policy"));
    }
    let asked = Asked {
        frontend: request.frontend,
        definition: request.definition,
        attributes: request.frontend_opt,
        inputs: request.frontend_inputs,
        imports: request
            .cache_imports
            .into_iter()
            .map(|cache| (cache.r#type, cache.attrs))
            .collect(),
    };
    let answered = match ask(control, job, asked).await {
        Ok(given) => answer(job, given, request.allow_result_array_ref),
        Err(error) => Err(error),
    };
    answered.map_err(|error| failure::status(&error))
}

fn answer(job: &Job, given: Given, knows_messages: bool) -> Outcome<api::SolveResponse> {
    let (parts, metadata) = match given {
        Given::Built(built) => {
            let metadata = metadata(&built)?;
            let names: Vec<_> = built.parts.iter().map(|part| part.platform.to_string()).collect();
            let multi = built.multi;
            let ids = job.keep(built)?;
            let parts = match multi {
                true => several(names.into_iter().zip(ids), knows_messages),
                false => one(ids.into_iter().next().unwrap_or_default(), knows_messages),
            };
            (parts, metadata)
        }
        Given::Again(outcome) => {
            let id = job.keep_again(outcome)?;
            (one(id, knows_messages), BTreeMap::new())
        }
        Given::Told(told) => (one(String::new(), knows_messages), told),
        Given::Nothing => (one(String::new(), knows_messages), BTreeMap::new()),
    };
    let result = api::Result { metadata, result: Some(parts), ..Default::default() };
    Ok(api::SolveResponse { result: Some(result), ..Default::default() })
}

fn one(id: String, knows_messages: bool) -> Parts {
    match knows_messages {
        true => Parts::Ref(reference(id)),
        false => Parts::RefDeprecated(id),
    }
}

fn several(parts: impl Iterator<Item = (String, String)>, knows_messages: bool) -> Parts {
    match knows_messages {
        true => {
            let refs = parts.map(|(name, id)| (name, reference(id))).collect();
            Parts::Refs(api::RefMap { refs })
        }
        false => Parts::RefsDeprecated(api::RefMapDeprecated { refs: parts.collect() }),
    }
}

/// A reference; without an id, to nothing.
fn reference(id: String) -> api::Ref {
    let def = Some(&id).filter(|id| !id.is_empty()).map(|id| llb::of_result(id));
    api::Ref { id, def }
}

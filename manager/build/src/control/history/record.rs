//! The record of a build, from its beginning to its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use prost::Message;
use tare_proto::builds::google::rpc;
use tare_proto::builds::moby::buildkit::v1 as api;

use super::provenance::{self, Sources};
use super::{Blob, History};
use crate::control::wire::time;

/// What a build told.
const STATUS: &str = "application/vnd.buildkit.status.v0";
/// Why it failed, in BuildKit's spelling.
const FAILURE: &str = "application/vnd.googeapis.google.rpc.status+proto";

/// A build that is being recorded.
pub(in super::super) struct Recording {
    history: Arc<History>,
    record: api::BuildHistoryRecord,
}

/// What came of a build.
pub(in super::super) struct Ended {
    /// All that it told.
    pub(in super::super) told: Vec<api::StatusResponse>,
    /// What the exporters said, or why it failed.
    pub(in super::super) outcome: Result<BTreeMap<String, String>, rpc::Status>,
    /// What it was made from, by platform; one without a name if there is only one.
    pub(in super::super) sources: Vec<(Option<String>, Sources)>,
}

impl Recording {
    /// Begins with what was asked.
    pub(in super::super) fn begin(history: &Arc<History>, request: &api::SolveRequest) -> Self {
        let exporters = request.exporters.iter().map(|exporter| api::Exporter {
            r#type: exporter.r#type.clone(),
            attrs: without_passwords(&exporter.attrs),
        });
        let record = api::BuildHistoryRecord {
            r#ref: request.r#ref.clone(),
            frontend: request.frontend.clone(),
            frontend_attrs: without_passwords(&request.frontend_attrs),
            exporters: exporters.collect(),
            created_at: Some(time(Timestamp::now())),
            ..Default::default()
        };
        history.begin(record.clone());
        Self { history: Arc::clone(history), record }
    }

    /// Ends it with what came of the build.
    pub(in super::super) fn end(mut self, ended: Ended) {
        let record = &mut self.record;
        record.completed_at = Some(time(Timestamp::now()));
        count(record, &ended.told);
        let mut blobs = Vec::new();
        let mut keep = |bytes: Vec<u8>, media_type| {
            let blob = Blob::new(bytes);
            let descriptor = blob.descriptor(media_type);
            blobs.push(blob);
            descriptor
        };
        record.logs = Some(keep(framed(&ended.told), STATUS));
        match ended.outcome {
            Ok(said) => {
                for (platform, sources) in &ended.sources {
                    let predicate = provenance::predicate(record, sources);
                    let mut attestation = keep(predicate, provenance::MEDIA_TYPE);
                    attestation.annotations = provenance::annotations();
                    let result = match platform {
                        None => record.result.get_or_insert_default(),
                        Some(name) => record.results.entry(name.clone()).or_default(),
                    };
                    result.attestations.push(attestation);
                }
                record.exporter_response = said;
            }
            Err(mut failure) => {
                record.external_error = Some(keep(failure.encode_to_vec(), FAILURE));
                failure.details.clear();
                record.error = Some(failure);
            }
        }
        self.history.finish(self.record, blobs);
    }
}

/// How many steps there were, and of what kinds.
fn count(record: &mut api::BuildHistoryRecord, told: &[api::StatusResponse]) {
    let mut steps: HashMap<&str, (bool, bool)> = HashMap::new();
    for vertex in told.iter().flat_map(|message| &message.vertexes) {
        let (cached, completed) = steps.entry(&vertex.digest).or_default();
        *cached |= vertex.cached;
        *completed |= vertex.completed.is_some();
    }
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    record.num_total_steps = number(steps.len());
    record.num_cached_steps = number(steps.values().filter(|(cached, _)| *cached).count());
    record.num_completed_steps = number(steps.values().filter(|(_, done)| *done).count());
    record.num_warnings = number(told.iter().map(|message| message.warnings.len()).sum());
}

/// Messages one after the other, each after its length.
fn framed(told: &[api::StatusResponse]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in told {
        let encoded = message.encode_to_vec();
        bytes.extend(u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(encoded);
    }
    bytes
}

/// The messages that [`framed`] made bytes of; what is after a damaged one is left out.
pub(in super::super) fn unframed(mut bytes: &[u8]) -> Vec<api::StatusResponse> {
    let mut told = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some((message, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        else {
            break;
        };
        let Ok(message) = api::StatusResponse::decode(message) else { break };
        told.push(message);
        bytes = rest;
    }
    told
}

/// Addresses may have passwords in them, which nobody is to read in the history.
pub(super) fn without_passwords(attributes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| (name.clone(), without_password(value))).collect()
}

/// `https://user:password@host/x` as `https://user:xxxxx@host/x`.
fn without_password(value: &str) -> String {
    let hidden = || {
        let (scheme, rest) = value.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user, _) = authority.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:xxxxx{}", &rest[user.len()..]))
    };
    hidden().unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_left_out() {
        let of = without_password;
        assert_eq!(of("https://me:secret@host/x?y"), "https://me:xxxxx@host/x?y");
        assert_eq!(of("https://token@host/x"), "https://token@host/x");
        assert_eq!(of("https://host/a:b@c"), "https://host/a:b@c");
        assert_eq!(of("me:secret@host"), "me:secret@host");
    }

    #[test]
    fn steps_are_counted_once() {
        let vertex = |digest: &str, cached, completed: bool| api::Vertex {
            digest: digest.into(),
            cached,
            completed: completed.then(|| time(Timestamp::now())),
            ..Default::default()
        };
        let first = vec![vertex("a", false, false), vertex("b", false, false)];
        let then = vec![vertex("a", false, true), vertex("c", true, true)];
        let told =
            [first, then].map(|vertexes| api::StatusResponse { vertexes, ..Default::default() });
        let mut record = api::BuildHistoryRecord::default();
        count(&mut record, &told);
        assert_eq!(record.num_total_steps, 3);
        assert_eq!(record.num_cached_steps, 1);
        assert_eq!(record.num_completed_steps, 2);
        assert_eq!(unframed(&framed(&told)), told);
    }

    proptest! {
        #[test]
        fn a_disk_may_give_anything(bytes: Vec<u8>) {
            let _ = unframed(&bytes);
        }
    }
}

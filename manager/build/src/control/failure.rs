//! Errors as clients expect them: a text, and beside it in JSON where in which Dockerfile it is, and
//! which step failed.

use prost::Message;
use prost_types::Any;
use serde_json::{Value, json};
use tare_proto::builds::google::rpc;
use tonic::{Code, Status};

use super::wire::base64;
use crate::error::{Error, Place};

/// What BuildKit calls the types of what is beside the text.
const TYPES: &str = "github.com/moby/buildkit/errdefs";

/// `error` on the wire. Its code is always "unknown": clients put any other before the text.
pub(super) fn status(error: &Error) -> Status {
    of_wire(&wire(error, Code::Unknown))
}

/// That a build was given up.
pub(super) fn cancelled() -> rpc::Status {
    wire(&Error::cancelled(), Code::Cancelled)
}

/// That `what`, as a client would ask for it, is not done here.
pub(super) fn unsupported(what: &str) -> Status {
    status(&Error::unsupported(what))
}

/// `error` as a message.
pub(super) fn wire(error: &Error, code: Code) -> rpc::Status {
    let mut details = Vec::new();
    if let Some(place) = &error.place {
        details.push(detail("Source", &source(place)));
    }
    if let Some(vertex) = &error.vertex {
        details.push(detail("Vertex", &json!({ "digest": vertex.as_str() })));
    }
    rpc::Status { code: code.into(), message: error.message.clone(), details }
}

/// A message as what a call ends with.
pub(super) fn of_wire(status: &rpc::Status) -> Status {
    let code = match Code::from_i32(status.code) {
        Code::Ok => Code::Unknown,
        code => code,
    };
    Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}

fn detail(kind: &str, value: &Value) -> Any {
    Any { type_url: format!("{TYPES}.{kind}+json"), value: value.to_string().into_bytes() }
}

fn source(place: &Place) -> Value {
    let range = |line| json!({ "start": { "line": line }, "end": { "line": line } });
    let ranges: Vec<Value> = (place.lines.first..=place.lines.last).map(range).collect();
    json!({
        "info": {
            "filename": place.file.name,
            "data": base64(&place.file.text),
            "language": "Dockerfile",
        },
        "ranges": ranges,
    })
}

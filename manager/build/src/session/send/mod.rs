//! Results that are sent to a client: streams, and file trees.

mod entries;
mod stream;
mod tree;

pub use stream::{Sending, stream};
pub use tree::{Branch, tree};

use tonic::Request;

use super::{Session, metadata};
use crate::error::{Error, Result};

const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";

/// Says that `request` belongs to the export with this number.
fn belongs_to<T>(session: &Session, request: &mut Request<T>, export: usize) -> Result<()> {
    if !session.offers(METHOD) {
        return Err(Error::invalid(format!("method {METHOD} not supported by the client")));
    }
    metadata::set(request, "buildkit-attachable-exporter-id", &export.to_string())
}

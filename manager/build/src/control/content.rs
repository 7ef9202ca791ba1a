//! What records name, as clients read it: containerd's content service, without writing.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tare_proto::builds::containerd::services::content::v1 as api;
use tare_proto::builds::containerd::services::content::v1::content_server::Content;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::history::Place;
use super::{Control, failure};

/// Bytes in one message.
const PIECE: usize = 1 << 20;

/// The content service.
#[derive(Clone)]
pub(super) struct ContentService(pub(super) Arc<Control>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl ContentService {
    async fn find(&self, digest: &str) -> Result<(u64, Place), Status> {
        let found = self.0.history.blob(digest).await;
        found.ok_or_else(|| Status::not_found(format!("content {digest}: not found")))
    }
}

#[tonic::async_trait]
impl Content for ContentService {
    type ReadStream = Answers<api::ReadContentResponse>;
    type WriteStream = Answers<api::WriteContentResponse>;

    async fn info(
        &self,
        request: Request<api::InfoRequest>,
    ) -> Result<Response<api::InfoResponse>, Status> {
        let digest = request.into_inner().digest;
        let (size, _) = self.find(&digest).await?;
        let info = api::Info {
            digest,
            size: size.cast_signed(),
            created_at: None,
            updated_at: None,
            labels: BTreeMap::new(),
        };
        Ok(Response::new(api::InfoResponse { info: Some(info) }))
    }

    async fn read(
        &self,
        request: Request<api::ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let (size, place) = self.find(&request.digest).await?;
        let bytes = place.bytes().await.map_err(|error| failure::status(&error))?;
        let wanted = range(request.offset, request.size, size.min(bytes.len() as u64))?;
        Ok(Response::new(pieces(bytes.slice(wanted.clone()), wanted.start)))
    }

    async fn write(
        &self,
        _: Request<Streaming<api::WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        Err(Status::unknown("read-only content store"))
    }
}

/// The bytes that are asked for of `length`; a size of zero means to the end.
fn range(offset: i64, size: i64, length: u64) -> Result<std::ops::Range<usize>, Status> {
    let outside = || Status::out_of_range(format!("offset {offset} of {length} bytes"));
    let length = usize::try_from(length).map_err(|_| outside())?;
    let start =
        usize::try_from(offset).ok().filter(|start| *start <= length).ok_or_else(outside)?;
    let rest = length - start;
    let size = match size {
        0 => rest,
        size => usize::try_from(size).map_err(|_| outside())?.min(rest),
    };
    Ok(start..start + size)
}

fn pieces(bytes: Bytes, start: usize) -> Answers<api::ReadContentResponse> {
    let pieces = (0..bytes.len()).step_by(PIECE).map(move |at| {
        let data = bytes.slice(at..bytes.len().min(at + PIECE));
        Ok(api::ReadContentResponse { offset: (start + at) as i64, data })
    });
    Box::pin(stream::iter(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_outside() {
        assert_eq!(range(0, 0, 10).unwrap(), 0..10);
        assert_eq!(range(4, 100, 10).unwrap(), 4..10);
        assert_eq!(range(10, 1, 10).unwrap(), 10..10);
        for (offset, size) in [(-1, 0), (11, 0), (0, -1), (i64::MAX, i64::MAX)] {
            assert!(range(offset, size, 10).is_err());
        }
    }
}

//! The other side of ttrpc: a call of a service that someone else serves.

use std::io;
use std::path::Path;

use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tonic::{Code, Status};

use super::frame::{self, Header, Request, Response};

/// A connection for one call: those who call seldom keep nothing open.
pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to a socket.
    pub(crate) async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Client { stream: UnixStream::connect(socket).await? })
    }

    /// Calls `method`, and waits until it has been answered.
    pub(crate) async fn call(
        mut self,
        service: &str,
        method: &str,
        argument: &impl Message,
    ) -> Result<(), Status> {
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload: argument.encode_to_vec(),
        };
        let answer = self.exchange(&request).await.map_err(|error| {
            Status::unavailable(format!("call {service}/{method} over ttrpc: {error}"))
        })?;
        let status = answer.status.unwrap_or_default();
        match Code::from(status.code) {
            Code::Ok => Ok(()),
            code => Err(Status::new(code, status.message)),
        }
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = frame::request(Header::FIRST, &request.encode_to_vec());
        self.stream.write_all(&bytes).await?;
        let answer = frame::read_response(&mut self.stream).await?;
        Ok(Response::decode(answer.payload.as_slice())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ttrpc::frame::RpcStatus;
    use tokio::net::UnixListener;

    /// What a client makes of this answer.
    async fn answered(response: Response) -> Result<(), Status> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = frame::read(&mut stream).await.unwrap().unwrap();
            let request = Request::decode(asked.payload.as_slice()).unwrap();
            assert_eq!((request.service.as_str(), request.method.as_str()), ("s", "m"));
            let bytes = frame::response(asked.header, &response.encode_to_vec());
            stream.write_all(&bytes).await.unwrap();
        };
        let client = async {
            let client = Client::connect(&path).await.unwrap();
            client.call("s", "m", &RpcStatus::default()).await
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn an_answer_is_success_or_says_what_is_wrong() {
        answered(Response::default()).await.unwrap();
        let status = RpcStatus { code: Code::NotFound.into(), message: "none".into() };
        let refused = Response { status: Some(status), payload: Vec::new() };
        let refused = answered(refused).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, "none"));
    }
}

//! Calls of a service that someone else serves.

use std::io;
use std::marker::PhantomData;
use std::path::Path;

use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tonic::{Code, Status};

use super::frame::{Frame, Frames, Header, Kind, Request, Response};

/// A connection for one call: to make one costs less than to keep it.
#[derive(Debug)]
pub struct Client {
    frames: Frames<UnixStream>,
}

impl Client {
    /// Connects to a socket.
    ///
    /// # Errors
    /// Nobody listens there, or too many are waiting already.
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Client { frames: Frames::new(UnixStream::connect(socket).await?) })
    }

    /// Calls `method`.
    ///
    /// # Errors
    /// Unavailable if it can't be asked.
    pub async fn open<Reply: Message + Default>(
        mut self,
        service: &str,
        method: &str,
        argument: &impl Message,
    ) -> Result<Replies<Reply>, Status> {
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload: argument.encode_to_vec(),
        };
        let bytes = Header::FIRST.message(Kind::Request, &request);
        self.frames.stream().write_all(&bytes).await.map_err(lost)?;
        Ok(Replies { frames: self.frames, of: PhantomData })
    }
}

/// The answers to one call, as they come.
#[derive(Debug)]
pub struct Replies<Reply> {
    frames: Frames<UnixStream>,
    of: PhantomData<fn() -> Reply>,
}

/// What came.
enum Next<Reply> {
    One(Reply),
    End(Response),
}

impl<Reply: Message + Default> Replies<Reply> {
    /// The next; `None` after the last. A caller that stops waiting loses nothing.
    ///
    /// # Errors
    /// What the service ends them with, and unavailable where it just goes.
    pub async fn next(&mut self) -> Result<Option<Reply>, Status> {
        Ok(match self.read().await? {
            Next::One(reply) => Some(reply),
            Next::End(_) => None,
        })
    }

    /// The one answer of a call that has no more.
    ///
    /// # Errors
    /// As [`Replies::next`].
    pub async fn only(mut self) -> Result<Reply, Status> {
        match self.read().await? {
            Next::One(reply) => Ok(reply),
            Next::End(Response { payload, .. }) => decode(&payload),
        }
    }

    async fn read(&mut self) -> Result<Next<Reply>, Status> {
        let gone = || lost(io::ErrorKind::UnexpectedEof.into());
        let Frame { kind, payload, .. } =
            self.frames.next().await.map_err(lost)?.ok_or_else(gone)?;
        match kind {
            Kind::Data => Ok(Next::One(decode(&payload)?)),
            Kind::Response => {
                let response: Response = decode(&payload)?;
                let status = response.status.clone().unwrap_or_default();
                match Code::from(status.code) {
                    Code::Ok => Ok(Next::End(response)),
                    code => Err(Status::new(code, status.message)),
                }
            }
            Kind::Request => Err(Status::unavailable("it asks where it should answer")),
        }
    }
}

fn lost(error: io::Error) -> Status {
    Status::unavailable(format!("the connection is lost: {error}"))
}

fn decode<Reply: Message + Default>(payload: &[u8]) -> Result<Reply, Status> {
    Reply::decode(payload).map_err(|error| Status::unavailable(format!("the answer: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ttrpc::frame::RpcStatus;
    use tokio::net::UnixListener;

    /// What a client makes of these answers.
    async fn answered(messages: Vec<(Kind, Vec<u8>)>) -> Result<Vec<String>, Status> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut frames = Frames::new(stream);
            let asked = frames.next().await.unwrap().unwrap();
            let request = Request::decode(asked.payload.as_slice()).unwrap();
            assert_eq!((request.service.as_str(), request.method.as_str()), ("s", "m"));
            for (kind, payload) in messages {
                let bytes = match kind {
                    Kind::Response => {
                        let response = Response::decode(payload.as_slice()).unwrap();
                        asked.header.message(kind, &response)
                    }
                    _ => asked.header.message(kind, &String::decode(payload.as_slice()).unwrap()),
                };
                frames.stream().write_all(&bytes).await.unwrap();
            }
        };
        let client = async {
            let client = Client::connect(&path).await.unwrap();
            let mut replies = client.open("s", "m", &RpcStatus::default()).await?;
            let mut all = Vec::new();
            while let Some(reply) = replies.next().await? {
                all.push(reply);
            }
            Ok(all)
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn answers_come_until_the_last_says_how_it_went() {
        let one = |text: &str| (Kind::Data, text.to_owned().encode_to_vec());
        let end = (Kind::Response, Response::default().encode_to_vec());
        assert_eq!(answered(vec![one("a"), one("b"), end]).await.unwrap(), ["a", "b"]);
        let status = RpcStatus { code: Code::NotFound.into(), message: "none".into() };
        let refused = Response { status: Some(status), payload: Vec::new() }.encode_to_vec();
        let refused = answered(vec![one("a"), (Kind::Response, refused)]).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, "none"));
        assert_eq!(answered(vec![one("a")]).await.unwrap_err().code(), Code::Unavailable);
    }
}

//! Asking others for names that nobody in the book has.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{Way, refusal};
use super::exchange::{self, code};
use super::opener::Opener;

/// How many servers are asked.
const SERVERS: usize = 3;
/// How many questions may be open.
const AT_ONCE: u32 = 4096;
/// How many of one container's.
const OF_ONE: usize = 1024;
/// How long a server that did not answer is asked after the others.
const DISTRUST: Duration = Duration::from_secs(60);
/// Where names are asked for.
const PORT: u16 = 53;

/// Who asks others.
pub(super) struct Forwarder {
    room: Arc<Semaphore>,
    opener: Opener,
}

/// What is known of one container's servers.
pub(super) struct Upstream {
    room: Arc<Semaphore>,
    /// Those that did not answer, and when.
    silent: Mutex<HashMap<IpAddr, Instant>>,
}

/// Whom to ask a question of a container.
pub(super) struct Inquiry {
    pub(super) servers: Vec<IpAddr>,
    /// The network from which they are asked; none: the host's.
    pub(super) namespace: Option<Arc<OwnedFd>>,
    /// What to say if none of them knows the name.
    pub(super) otherwise: Option<Vec<u8>>,
    pub(super) room: Room,
}

/// A question's right to be open.
pub(super) struct Room {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Upstream {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(OF_ONE)), silent: Mutex::default() }
    }

    /// The servers in the order in which they are asked: as they stand, but first those that did
    /// not keep anybody waiting.
    fn in_order(&self, mut servers: Vec<IpAddr>) -> Vec<IpAddr> {
        servers.truncate(SERVERS);
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, since| since.elapsed() < DISTRUST);
        servers.sort_by_key(|server| silent.contains_key(server));
        servers
    }

    /// Remembers whether a server has answered.
    fn note(&self, server: IpAddr, has_answered: bool) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if has_answered {
            silent.remove(&server);
        } else {
            silent.insert(server, Instant::now());
        }
    }
}

impl Forwarder {
    pub(super) fn new(opener: Opener) -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE as usize)), opener }
    }

    /// Whether containers' servers can be asked from their own networks.
    pub(super) fn can_go_inside(&self) -> bool {
        self.opener.is_there()
    }

    /// Room for one more question, if there is any.
    pub(super) fn room(&self, upstream: &Upstream) -> Option<Room> {
        let own = Arc::clone(&upstream.room).try_acquire_owned().ok()?;
        Some(Room { _all: Arc::clone(&self.room).try_acquire_owned().ok()?, _own: own })
    }

    /// Waits until no question is open, but not for long.
    pub(super) async fn finish(&self, patience: Duration) {
        let _ = timeout(patience, self.room.acquire_many(AT_ONCE)).await;
    }

    /// What the first of a container's servers says that knows anything; else what is to be said
    /// otherwise, or that there is no answer.
    pub(super) async fn ask(
        &self,
        upstream: &Upstream,
        Inquiry { servers, namespace, otherwise, room }: Inquiry,
        question: &[u8],
        way: Way,
    ) -> Option<Vec<u8>> {
        let mut last = None;
        for server in upstream.in_order(servers) {
            let answer = self.ask_one(server, namespace.as_deref(), question, way).await;
            upstream.note(server, answer.is_ok());
            match answer {
                Ok(answer) if is_final(&answer) => {
                    let is_unknown = code(&answer) == Some(ResponseCode::NXDomain.low());
                    return otherwise.filter(|_| is_unknown).or(Some(answer));
                }
                Ok(answer) => last = Some(answer),
                Err(_) => {}
            }
        }
        drop(room);
        otherwise.or(last).or_else(|| refusal(question, ResponseCode::ServFail))
    }

    async fn ask_one(
        &self,
        server: IpAddr,
        namespace: Option<&OwnedFd>,
        question: &[u8],
        way: Way,
    ) -> std::io::Result<Vec<u8>> {
        let server = SocketAddr::new(server, PORT);
        let inside = |namespace: &OwnedFd| self.opener.open(namespace.as_fd(), server, way);
        exchange::ask(server, question, way, namespace.map(inside).transpose()?).await
    }
}

/// Whether another server would not know better.
fn is_final(answer: &[u8]) -> bool {
    let undecided = [ResponseCode::ServFail, ResponseCode::Refused];
    undecided.iter().all(|undecided| code(answer) != Some(undecided.low()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_answer_is_asked_last() {
        let upstream = Upstream::new();
        let servers = |last: &[u8]| -> Vec<IpAddr> {
            last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect()
        };
        assert_eq!(upstream.in_order(servers(&[1, 2, 3, 4])), servers(&[1, 2, 3]));
        upstream.note([10, 0, 0, 1].into(), false);
        assert_eq!(upstream.in_order(servers(&[1, 2, 3, 4])), servers(&[2, 3, 1]));
        upstream.note([10, 0, 0, 1].into(), true);
        assert_eq!(upstream.in_order(servers(&[1, 2, 3, 4])), servers(&[1, 2, 3]));
    }
}

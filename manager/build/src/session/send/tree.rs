//! A file tree to a client: it is told of every file, and asks for the contents that it wants.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use rustix::fs::OFlags;
use tare_proto::builds::fsutil::types::packet::PacketType;
use tare_proto::builds::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::entries::walk;
use super::{METHOD, belongs_to};
use crate::error::{Error, Result};
use crate::progress::TransferHandle;
use crate::session::Session;
use crate::session::connection::{LARGEST, origin};
use crate::session::failure::{failed, lost};
use crate::session::files::entry::{FileKind, go_mode, is_hard_link};
use crate::session::files::target::open_below;
use crate::tree::Tree;

/// Bytes of a file that are sent at once.
const PIECE: usize = 128 << 10;
/// From one time that it is told how far a transfer is to the next.
const PACE: Duration = Duration::from_millis(100);

/// A tree, and the directory that it is put in at the client's; none: right where the client wants it.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The directory.
    pub under: Option<String>,
    /// The tree.
    pub tree: Tree,
}

/// What the client is told of.
struct Offer {
    branches: Vec<Branch>,
    /// When all files were changed last, if not when they were.
    modified: Option<i64>,
    /// Files whose content it may ask for, once each.
    files: Mutex<HashMap<u32, Offered>>,
    packets: mpsc::Sender<Packet>,
}

/// A file that the client may ask for.
struct Offered {
    branch: usize,
    path: Vec<u8>,
}

/// Sends `branches` for export number `export`. Files were changed last at `modified`, in nanoseconds
/// since 1970, if that is given. How much was sent is told in `transfer`.
///
/// # Errors
/// If the trees can't be read; if the client takes none, fails, or goes.
pub async fn tree(
    session: &Session,
    export: usize,
    mut branches: Vec<Branch>,
    modified: Option<i64>,
    transfer: TransferHandle,
) -> Result<()> {
    branches.sort_by(|one, other| one.under.cmp(&other.under));
    let (packets, mut made) = mpsc::channel(64);
    let (counted, outgoing) = mpsc::channel(64);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    belongs_to(session, &mut request, export)?;
    let offer = Arc::new(Offer { branches, modified, files: Mutex::default(), packets });
    let (requests, mut wanted) = mpsc::unbounded_channel();
    let telling = {
        let offer = Arc::clone(&offer);
        tokio::task::spawn_blocking(move || offer.tell())
    };
    let sending = {
        let offer = Arc::clone(&offer);
        tokio::task::spawn_blocking(move || {
            while let Some((id, file)) = wanted.blocking_recv() {
                offer.send(id, &file)?;
            }
            Ok(())
        })
    };
    let counting = async move {
        let (mut transfer, mut bytes, mut told) = (transfer, 0, Instant::now());
        while let Some(packet) = made.recv().await {
            bytes += i64::try_from(packet.encoded_len()).unwrap_or(0);
            if told.elapsed() >= PACE {
                transfer.set(bytes, 0);
                told = Instant::now();
            }
            if counted.send(packet).await.is_err() {
                break;
            }
        }
        transfer.set(bytes, 0);
    };
    let asking = async move {
        let asked = ask(session, request, &offer, requests).await;
        // With it goes the last way for packets: that ends what makes them.
        drop(offer);
        asked
    };
    let (asked, ()) = tokio::join!(asking, counting);
    // What went wrong here is why the client fails, if it does.
    for work in [telling, sending] {
        work.await.map_err(|_| lost(session))??;
    }
    asked
}

/// Passes on what the client asks for, until it has all that it wants.
async fn ask(
    session: &Session,
    request: Request<ReceiverStream<Packet>>,
    offer: &Offer,
    requests: mpsc::UnboundedSender<(u32, Offered)>,
) -> Result<()> {
    let failed = |status: Status| failed(session, &status);
    let mut calls = Grpc::with_origin(session.link(), origin()).max_decoding_message_size(LARGEST);
    calls.ready().await.map_err(|_| lost(session))?;
    let codec: ProstCodec<Packet, Packet> = ProstCodec::default();
    let path = PathAndQuery::from_static(METHOD);
    let answer = calls.streaming(request, path, codec).await;
    let mut packets = answer.map_err(failed)?.into_inner();
    while let Some(packet) = packets.message().await.map_err(failed)? {
        match packet.r#type() {
            PacketType::Req => {
                let Some(file) = offer.files().remove(&packet.id) else {
                    return Err(Error::invalid(format!("invalid file id {}", packet.id)));
                };
                // Each can be asked for once: there are no more of them than files.
                if requests.send((packet.id, file)).is_err() {
                    return Ok(());
                }
            }
            PacketType::Fin => {
                let fin = Packet { r#type: PacketType::Fin.into(), ..Packet::default() };
                // A client that has gone has all it wanted.
                let _ = offer.packets.send(fin).await;
                return Ok(());
            }
            PacketType::Err => {
                let text = String::from_utf8_lossy(&packet.data);
                return Err(Error::system(format!("error from receiver: {text}")));
            }
            PacketType::Stat | PacketType::Data => {
                return Err(Error::invalid("the client sent what doesn't belong in a transfer"));
            }
        }
    }
    Err(Error::system("the client ended the transfer early"))
}

impl Offer {
    /// Tells of all files. Blocks.
    fn tell(&self) -> Result<()> {
        let mut number = 0;
        for (branch, Branch { under, tree }) in self.branches.iter().enumerate() {
            if let Some(under) = under {
                let mode = go_mode(FileKind::Directory, 0o755);
                let mod_time = self.modified.unwrap_or_default();
                let path = under.clone().into_bytes();
                self.tell_of(Stat { path, mode, mod_time, ..Stat::default() });
                number += 1;
            }
            let told = walk(tree.root(), &mut |stat| {
                let told = self.tell_of_file(branch, under.as_deref(), number, stat);
                number += 1;
                told
            });
            if let Err(error) = told {
                let data = Bytes::from(error.message.clone().into_bytes());
                self.say(Packet { r#type: PacketType::Err.into(), data, ..Packet::default() });
                return Err(error);
            }
        }
        self.say(Packet { r#type: PacketType::Stat.into(), ..Packet::default() });
        Ok(())
    }

    /// False: the client has gone.
    fn tell_of_file(
        &self,
        branch: usize,
        under: Option<&str>,
        number: u32,
        mut stat: Stat,
    ) -> bool {
        let kind = FileKind::of(stat.mode);
        let is_link = kind.is_some_and(|kind| is_hard_link(&stat, kind));
        if kind == Some(FileKind::Regular) {
            self.files().insert(number, Offered { branch, path: stat.path.clone() });
        }
        if let Some(under) = under {
            let below = |path: &[u8]| [under.as_bytes(), b"/", path].concat();
            stat.path = below(&stat.path);
            if is_link {
                stat.linkname = below(&stat.linkname);
            }
        }
        stat.mod_time = self.modified.unwrap_or(stat.mod_time);
        self.tell_of(stat)
    }

    fn tell_of(&self, stat: Stat) -> bool {
        let kind = PacketType::Stat.into();
        self.say(Packet { r#type: kind, stat: Some(stat), ..Packet::default() })
    }

    /// Sends the content of file `id`. What can't be read any more is sent as if it were empty.
    fn send(&self, id: u32, Offered { branch, path }: &Offered) -> Result<()> {
        let root = self.branches[*branch].tree.root();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let data =
            |data: Bytes| Packet { r#type: PacketType::Data.into(), id, data, ..Packet::default() };
        if let Ok(file) = open_below(root, path, flags) {
            let (mut file, mut piece) = (File::from(file), vec![0; PIECE]);
            loop {
                let read = file.read(&mut piece).map_err(|error| {
                    Error::io(format_args!("read {:?}", String::from_utf8_lossy(path)), error)
                })?;
                if read == 0 {
                    break;
                }
                if !self.say(data(Bytes::copy_from_slice(&piece[..read]))) {
                    return Ok(());
                }
            }
        }
        self.say(data(Bytes::new()));
        Ok(())
    }

    /// False: the client has gone.
    fn say(&self, packet: Packet) -> bool {
        self.packets.blocking_send(packet).is_ok()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<u32, Offered>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

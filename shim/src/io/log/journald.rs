//! The `journald` driver: each line is one datagram for systemd's journal, with docker's fields.
//!
//! The format is that of systemd's "Native Journal Protocol": fields as `NAME=value` lines, or with
//! the value's length before it where it may contain newlines. What is too long for a datagram goes
//! in a sealed memory file, whose descriptor is sent instead.

use std::io::{ErrorKind, IoSlice, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tare_proto::tare::shim::v1::Log as LogConfig;

use super::driver::Driver;
use super::lines::Line;
use super::piece::{Piece, Pieces};
use crate::clock::rfc3339;
use crate::diagnostics::warn;
use crate::error::{Error, Result};
use crate::io::hub::Channel;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long a line waits for a journal that takes none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way of one container's lines into the journal.
pub(super) struct Journald {
    place: String,
    socket: UnixDatagram,
    /// The fields that all lines share, encoded.
    fields: Vec<u8>,
    ordinal: u64,
    pieces: Pieces,
    /// Lines are lost, and this has been said.
    failing: bool,
    lost: u64,
}

impl Journald {
    /// Connects to this machine's journal.
    pub(super) fn open(config: &LogConfig) -> Result<Self> {
        Self::open_at(config, SOCKET)
    }

    fn open_at(config: &LogConfig, place: &str) -> Result<Self> {
        let missing =
            |error| Error::unknown(format!("journald is not enabled on this host: {error}"));
        let socket = UnixDatagram::unbound().map_err(missing)?;
        socket.connect(place).map_err(missing)?;
        let _ = socket.set_write_timeout(Some(PATIENCE));
        Ok(Journald {
            place: place.to_owned(),
            socket,
            fields: shared_fields(config),
            ordinal: 0,
            pieces: Pieces::default(),
            failing: false,
            lost: 0,
        })
    }

    fn encode(&mut self, channel: Channel, line: &Line<'_>) -> Vec<u8> {
        let mut out = self.fields.clone();
        append(&mut out, "MESSAGE", line.text);
        append(
            &mut out,
            "PRIORITY",
            match channel {
                Channel::Stdout => b"6",
                Channel::Stderr => b"3",
            },
        );
        append(&mut out, "SYSLOG_TIMESTAMP", rfc3339(line.time).as_bytes());
        self.ordinal += 1;
        append(&mut out, "CONTAINER_LOG_ORDINAL", self.ordinal.to_string().as_bytes());
        if let Some(Piece { id, ordinal, last }) = self.pieces.of(channel, line) {
            append(&mut out, "CONTAINER_PARTIAL_ID", id.as_bytes());
            append(&mut out, "CONTAINER_PARTIAL_ORDINAL", ordinal.to_string().as_bytes());
            append(&mut out, "CONTAINER_PARTIAL_LAST", last.to_string().as_bytes());
            if !last {
                append(&mut out, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
        }
        out
    }

    fn send(&mut self, datagram: &[u8]) -> std::io::Result<()> {
        let sent = match self.socket.send(datagram) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::NotConnected
                ) =>
            {
                // The journal was restarted.
                self.socket.connect(&self.place)?;
                self.socket.send(datagram)
            }
            sent => sent,
        };
        match sent {
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
            {
                self.send_file(datagram)
            }
            sent => sent.map(drop),
        }
    }

    fn send_file(&self, content: &[u8]) -> std::io::Result<()> {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let mut file = std::fs::File::from(memfd_create("journal-entry", flags)?);
        file.write_all(content)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        sendmsg(&self.socket, &[IoSlice::new(&[])], &mut control, SendFlags::empty())?;
        Ok(())
    }
}

impl Driver for Journald {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        let datagram = self.encode(channel, line);
        match self.send(&datagram) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.lost += 1;
                if !std::mem::replace(&mut self.failing, true) {
                    warn(format_args!("send the log to journald: {error}; lines are lost"));
                }
            }
        }
    }

    fn flush(&mut self) {}

    fn reopen(&mut self) {}

    fn lost(&self) -> u64 {
        self.lost
    }
}

fn shared_fields(config: &LogConfig) -> Vec<u8> {
    let id = &config.container_id;
    let mut out = Vec::new();
    let known = [
        ("CONTAINER_ID", id.get(..12).unwrap_or(id)),
        ("CONTAINER_ID_FULL", id),
        ("CONTAINER_NAME", &config.container_name),
        ("CONTAINER_TAG", &config.tag),
        ("IMAGE_NAME", &config.image_name),
        ("SYSLOG_IDENTIFIER", &config.tag),
    ];
    for (name, value) in known {
        append(&mut out, name, value.as_bytes());
    }
    for (name, value) in &config.attributes {
        append(&mut out, &field_name(name), value.as_bytes());
    }
    out
}

/// Adds a field; one whose name has nothing that a name may have is left out.
fn append(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if name.is_empty() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A name as the journal takes it: capital letters, digits and underscores, none of these first.
fn field_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    name.trim_start_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_line_is_a_datagram_with_dockers_fields() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("socket");
        let journal = UnixDatagram::bind(&place).unwrap();
        let config = LogConfig {
            driver: "journald".into(),
            container_id: "0123456789abcdef".into(),
            container_name: "web".into(),
            tag: "0123456789ab".into(),
            attributes: [("_my-label", "a\nb")].map(|(k, v)| (k.into(), v.into())).into(),
            ..LogConfig::default()
        };
        let mut log = Journald::open_at(&config, place.to_str().unwrap()).unwrap();
        log.append(
            Channel::Stderr,
            &Line { text: b"oh", partial: true, piece: 1, time: UNIX_EPOCH },
        );
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let expected = [
            "CONTAINER_ID=0123456789ab\n",
            "CONTAINER_ID_FULL=0123456789abcdef\n",
            "CONTAINER_NAME=web\n",
            "SYSLOG_IDENTIFIER=0123456789ab\n",
            "MY_LABEL\n\u{3}\0\0\0\0\0\0\0a\nb\n",
            "MESSAGE=oh\n",
            "PRIORITY=3\n",
            "CONTAINER_LOG_ORDINAL=1\n",
            "CONTAINER_PARTIAL_MESSAGE=true\n",
        ];
        for field in expected {
            assert!(text.contains(field), "{field:?} isn't in {text:?}");
        }
    }

    #[test]
    fn without_a_journal_it_says_so() {
        let error = Journald::open_at(&LogConfig::default(), "/nowhere/socket").err().unwrap();
        assert!(error.to_string().contains("journald is not enabled on this host"));
    }
}

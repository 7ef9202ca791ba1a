//! Frames: how stdout and stderr share one connection.
//!
//! Each piece of output has a head of eight bytes: the stream's number (1 stdout, 2 stderr), three
//! zeros, and the piece's length, most significant byte first. Output of a terminal has no frames.

use std::borrow::Cow;
use std::io::{self, IoSlice};

use tare_core::container::{Output, OutputStream};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Length of a frame's head.
const HEAD: usize = 8;

/// How output goes over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As it is: a terminal's.
    Raw,
    /// In frames.
    Multiplexed,
}

impl Framing {
    /// The framing of a process's output.
    pub(crate) fn of(terminal: bool) -> Self {
        if terminal { Self::Raw } else { Self::Multiplexed }
    }
}

/// The head of a frame. A piece is never near 4 GiB; the shim sends a few KiB at a time.
pub(crate) fn head(stream: OutputStream, length: usize) -> [u8; HEAD] {
    numbered_head(
        match stream {
            OutputStream::Stdout => 1,
            OutputStream::Stderr => 2,
        },
        length,
    )
}

/// The head of a frame that tells of a failure of the manager.
pub(crate) fn failure_head(length: usize) -> [u8; HEAD] {
    numbered_head(3, length)
}

fn numbered_head(number: u8, length: usize) -> [u8; HEAD] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [number, 0, 0, 0, a, b, c, d]
}

/// Writes pieces of output, as few system calls as the socket allows.
pub(crate) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    framing: Framing,
    pieces: &[Output],
) -> io::Result<()> {
    let contents: Vec<(OutputStream, Cow<'_, [u8]>)> = pieces.iter().map(content).collect();
    let heads: Vec<[u8; HEAD]> =
        contents.iter().map(|(stream, bytes)| head(*stream, bytes.len())).collect();
    let mut slices = Vec::with_capacity(pieces.len() * 2);
    for (head, (_, bytes)) in heads.iter().zip(&contents) {
        if framing == Framing::Multiplexed {
            slices.push(IoSlice::new(head));
        }
        slices.push(IoSlice::new(bytes));
    }
    write_all(to, &mut slices).await
}

fn content(piece: &Output) -> (OutputStream, Cow<'_, [u8]>) {
    match piece {
        Output::Stdout(bytes) => (OutputStream::Stdout, Cow::Borrowed(&bytes[..])),
        Output::Stderr(bytes) => (OutputStream::Stderr, Cow::Borrowed(&bytes[..])),
        // Nothing else in these streams could tell it; to say nothing would be a lie.
        Output::Missed(count) => {
            let text = format!(
                "\r\ntared: {count} bytes of output are missing here: they came faster than they were read\r\n"
            );
            (OutputStream::Stderr, Cow::Owned(text.into_bytes()))
        }
    }
}

async fn write_all(
    to: &mut (impl AsyncWrite + Unpin),
    mut slices: &mut [IoSlice<'_>],
) -> io::Result<()> {
    // Takes away empty slices at the front, which would make a write of nothing.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match to.write_vectored(slices).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    to.flush().await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn pieces_are_framed_in_order() {
        let pieces = [
            Output::Stdout(Bytes::from_static(b"out")),
            Output::Stderr(Bytes::new()),
            Output::Stderr(Bytes::from_static(b"e")),
        ];
        let mut framed = Vec::new();
        write(&mut framed, Framing::Multiplexed, &pieces).await.unwrap();
        let expected = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01e".as_slice();
        assert_eq!(framed, expected);
        let mut told = Vec::new();
        write(&mut told, Framing::Raw, &[Output::Missed(7)]).await.unwrap();
        assert!(String::from_utf8(told).unwrap().contains("7 bytes of output are missing"));
        let mut raw = Vec::new();
        write(&mut raw, Framing::Raw, &pieces).await.unwrap();
        assert_eq!(raw, b"oute");
    }

    #[tokio::test]
    async fn a_socket_that_takes_little_gets_all() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let piece = Output::Stdout(Bytes::from(vec![b'x'; 100]));
        let writer = tokio::spawn(async move {
            write(&mut near, Framing::Multiplexed, &[piece.clone(), piece]).await
        });
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(all.len(), 2 * (HEAD + 100));
        assert_eq!(all.iter().filter(|byte| **byte == b'x').count(), 200);
    }
}

//! One client at the streams of one process.
//!
//! Output and input run side by side, each waiting for the slower of its two ends, so that nothing
//! piles up here. The session ends with the process's output, with the detach keys, or with the
//! client; its end drops the attachment, which is all there is to undo.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tare_core::container::{Attachment, InputSender, Output};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::detach::{DetachKeys, Typed};
use super::frame::{self, Framing};

/// Pieces of output that are written with one system call.
const BATCH: usize = 16;
/// Bytes of input that are read at once.
const INPUT: usize = 8 << 10;
/// How long the process may take to read what a client sent before it left.
const LAST_INPUT: Duration = Duration::from_secs(5);
/// How long a client may take to notice the end of the output.
const FAREWELL: Duration = Duration::from_secs(5);

/// A client's connection.
pub(crate) struct Client<R, W, H> {
    /// What it had sent before the session began.
    pub(crate) early: Bytes,
    /// What it sends.
    pub(crate) reader: R,
    /// The way to it.
    pub(crate) writer: W,
    /// Ready when it is gone. The end of what it sends does not say that.
    pub(crate) hangup: H,
}

/// What the end of the client's input means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputEnd {
    /// The end of the process's stdin.
    ClosesStdin,
    /// The end of the session; stdin stays open for others.
    EndsSession,
}

/// What the client sends.
#[derive(Debug)]
pub(crate) enum ClientInput {
    /// Nothing that matters.
    None,
    /// Input for the process.
    Stdin {
        /// What its end means.
        end: InputEnd,
        /// The keys to detach with, on a terminal.
        detach_keys: Option<DetachKeys>,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process has nothing more to say.
    Output,
    /// The client typed its keys to detach.
    Detached,
    /// The client has gone.
    Hangup,
}

/// Connects a client with a process until one of them ends it.
pub(crate) async fn run<R, W, H>(
    client: Client<R, W, H>,
    attachment: Attachment,
    input: ClientInput,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    H: Future<Output = ()>,
{
    let framing = Framing::of(attachment.terminal);
    run_framed(client, attachment, input, framing).await
}

/// The same for a client that gets the output in this way, whatever process it is.
pub(crate) async fn run_framed<R, W, H>(
    client: Client<R, W, H>,
    attachment: Attachment,
    input: ClientInput,
    framing: Framing,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    H: Future<Output = ()>,
{
    let Attachment { input: stdin, output, .. } = attachment;
    let Client { early, mut reader, mut writer, hangup } = client;
    let sending = send_output(output, &mut writer, framing);
    let taking = take_input(&mut reader, early, stdin, input);
    let ended = until_one_ends(sending, taking, hangup).await;
    if ended == Ended::Output {
        discard(&mut reader).await;
    }
    ended
}

async fn until_one_ends(
    sending: impl Future<Output = io::Result<()>>,
    taking: impl Future<Output = InputOver>,
    hangup: impl Future<Output = ()>,
) -> Ended {
    let (mut sending, mut taking, mut hangup) = (pin!(sending), pin!(taking), pin!(hangup));
    let mut takes_input = true;
    loop {
        tokio::select! {
            sent = &mut sending => {
                return if sent.is_ok() { Ended::Output } else { Ended::Hangup };
            }
            over = &mut taking, if takes_input => match over {
                InputOver::Input => takes_input = false,
                InputOver::Session => return Ended::Hangup,
                InputOver::Detached => return Ended::Detached,
            },
            () = &mut hangup => {
                // What the client had sent before it left still counts.
                if takes_input {
                    let _ = timeout(LAST_INPUT, taking).await;
                }
                return Ended::Hangup;
            }
        }
    }
}

/// Reads what a client still sends until it has heard that there will be no more output. A socket
/// that is closed before looks to the client like a broken one.
pub(crate) async fn discard(client: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4096];
    let reading = async { while matches!(client.read(&mut buffer).await, Ok(1..)) {} };
    let _ = timeout(FAREWELL, reading).await;
}

/// Copies output to the client until the process has said all, or the client doesn't listen.
async fn send_output(
    mut output: mpsc::Receiver<Output>,
    client: &mut (impl AsyncWrite + Unpin),
    framing: Framing,
) -> io::Result<()> {
    let mut pieces = Vec::with_capacity(BATCH);
    while output.recv_many(&mut pieces, BATCH).await > 0 {
        frame::write(client, framing, &pieces).await?;
        pieces.clear();
    }
    client.shutdown().await
}

/// What the end of a client's input ends.
enum InputOver {
    /// Only the input.
    Input,
    /// The session.
    Session,
    /// The session, by the client's wish.
    Detached,
}

/// Copies the client's input to the process.
async fn take_input(
    client: &mut (impl AsyncRead + Unpin),
    early: Bytes,
    stdin: InputSender,
    input: ClientInput,
) -> InputOver {
    let ClientInput::Stdin { end, mut detach_keys } = input else { return InputOver::Input };
    let mut next = early;
    loop {
        let typed = match &mut detach_keys {
            Some(keys) => keys.pass(next),
            None => Typed { input: next, detached: false },
        };
        // Stdin that is closed takes no more; the process may still have something to say.
        if !typed.input.is_empty() && stdin.send(typed.input).await.is_err() {
            return InputOver::Input;
        }
        if typed.detached {
            return InputOver::Detached;
        }
        let mut buffer = BytesMut::with_capacity(INPUT);
        match client.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => next = buffer.freeze(),
        }
    }
    match end {
        InputEnd::ClosesStdin => {
            stdin.close().await;
            InputOver::Input
        }
        InputEnd::EndsSession => InputOver::Session,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn output_goes_to_a_client_that_ended_its_input() {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.shutdown().await.unwrap();
        let (sender, output) = mpsc::channel(1);
        let (_, mut writer) = near.into_split();
        let sending =
            tokio::spawn(
                async move { send_output(output, &mut writer, Framing::Multiplexed).await },
            );
        sender.send(Output::Stdout(Bytes::from_static(b"hi"))).await.unwrap();
        drop(sender);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"\x01\0\0\0\0\0\0\x02hi");
        sending.await.unwrap().unwrap();
    }
}

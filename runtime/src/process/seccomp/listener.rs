//! Handing the notification descriptor of a filter to the supervisor that listens for it.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use oci_spec::runtime::ContainerProcessState;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::error::{Context, Result};

/// The name under which the specification passes the descriptor: `fds` of the state says so.
pub(crate) const FD_NAME: &str = "seccompFd";

/// Sends `state` and with it the descriptor to the socket at `path` (`linux.seccomp.listenerPath`).
///
/// # Errors
/// Nobody listens there, or the supervisor hangs up.
pub(crate) fn hand_over(
    path: &Path,
    state: &ContainerProcessState,
    descriptor: BorrowedFd<'_>,
) -> Result<()> {
    let text = serde_json::to_vec(state)
        .map_err(std::io::Error::from)
        .context(|| "seccomp: write the container's state")?;
    let mut socket = UnixStream::connect(path).context(|| {
        let path = path.display();
        format!("failed to connect with seccomp agent specified in the seccomp profile: {path}")
    })?;

    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(&socket, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)
        .context(|| format!("seccomp: send to listenerPath {}", path.display()))?;
    // The descriptor went with the first byte; a long text may need more than one call.
    socket
        .write_all(text.get(sent..).unwrap_or_default())
        .context(|| format!("seccomp: send to listenerPath {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Seek};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use oci_spec::runtime::ContainerProcessStateBuilder;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    #[test]
    fn the_supervisor_gets_state_and_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"notify").unwrap();
        let state = ContainerProcessStateBuilder::default()
            .version("1.2.0")
            .fds(vec![FD_NAME.to_owned()])
            .pid(42)
            .metadata("x".repeat(1 << 20))
            .build()
            .unwrap();
        let sender = std::thread::spawn(move || hand_over(&path, &state, file.as_fd()));

        let (mut socket, _) = listener.accept().unwrap();
        let mut first = vec![0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut first)],
            &mut ancillary,
            RecvFlags::empty(),
        )
        .unwrap();
        let descriptors: Vec<_> = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        let mut text = first[..received.bytes].to_vec();
        socket.read_to_end(&mut text).unwrap();
        sender.join().unwrap().unwrap();

        let state: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(state["fds"], serde_json::json!(["seccompFd"]));
        assert_eq!(state["pid"], 42);
        let mut copy = std::fs::File::from(descriptors.into_iter().next().unwrap());
        copy.rewind().unwrap();
        let mut content = String::new();
        copy.read_to_string(&mut content).unwrap();
        assert_eq!(content, "notify");
    }

    #[test]
    fn nobody_listening_is_told_with_the_path() {
        let file = tempfile::tempfile().unwrap();
        let state = ContainerProcessState::default();
        let error = hand_over(Path::new("/nowhere.sock"), &state, file.as_fd()).unwrap_err();
        assert!(error.to_string().contains("seccomp agent"), "{error}");
        assert!(error.to_string().contains("/nowhere.sock: no such file"), "{error}");
    }
}

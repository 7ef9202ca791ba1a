//! Terminals of containers, in the foreground and through a console socket.

use crate::bundle::Bundle;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

/// Runs `command` on a terminal of its own, and gives what appears there and the exit status.
fn on_terminal(mut command: Command) -> (String, i32) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = || Stdio::from(File::options().read(true).write(true).open(&path).unwrap());
    command.stdin(terminal()).stdout(terminal()).stderr(terminal());
    let mut child = command.spawn().unwrap();
    // The command still holds copies of the terminal.
    drop(command);
    let shown = read_to_end(controller);
    (shown, child.wait().unwrap().code().unwrap())
}

/// What appears on a terminal until its last program has ended, which reads as an error.
fn read_to_end(controller: OwnedFd) -> String {
    let mut shown = Vec::new();
    let _ = File::from(controller).read_to_end(&mut shown);
    String::from_utf8(shown).unwrap()
}

/// Takes the controlling end of a container's terminal from a console socket.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (socket, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(&socket, &mut [IoSliceMut::new(&mut name)], &mut control, flags).unwrap();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.unwrap()
}

fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.edit(|config| config["process"]["terminal"] = true.into());
    bundle
}

/// The container's terminal leaves line feeds as they are. That of the caller starts a line at each,
/// though it hands on every key as it is typed.
#[test]
fn lines_start_where_a_terminal_shows_them() {
    let bundle = with_terminal("echo one; echo two; tty; exit 3");
    for _ in 0..5 {
        let mut run = bundle.command();
        run.args(["run", "c"]);
        let (shown, status) = on_terminal(run);
        assert_eq!((shown.as_str(), status), ("one\r\ntwo\r\n/dev/pts/0\r\n", 3));
    }
    let running = Bundle::new(&["sleep", "1000"]);
    running.start("c");
    for _ in 0..5 {
        let mut exec = running.command();
        exec.args(["exec", "--tty", "c", "sh", "-c", "echo one; echo two"]);
        assert_eq!(on_terminal(exec), ("one\r\ntwo\r\n".to_owned(), 0));
    }
}

/// Whoever takes the terminal by a socket gets it with the kernel's settings.
#[test]
fn a_console_socket_gets_the_terminal_as_the_kernel_makes_it() {
    let bundle = with_terminal("echo one");
    let listener = UnixListener::bind(bundle.path().join("socket")).unwrap();
    bundle.leave(&["run", "--detach", "--console-socket", "socket", "c"]);
    assert_eq!(read_to_end(receive(&listener)), "one\r\n");
    let running = Bundle::new(&["sleep", "1000"]);
    running.start("c");
    let listener = UnixListener::bind(running.path().join("socket")).unwrap();
    running.leave(&["exec", "-d", "-t", "--console-socket", "socket", "c", "echo", "two"]);
    assert_eq!(read_to_end(receive(&listener)), "two\r\n");
}

/// A user can open the terminal again that it was given.
#[test]
fn a_terminal_belongs_to_its_user() {
    let script = "stat -c %u:%g $(tty); echo again > $(tty)";
    let mut bundle = with_terminal(script);
    bundle.edit(|config| {
        config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 100 });
    });
    let mut run = bundle.command();
    run.args(["run", "c"]);
    assert_eq!(on_terminal(run), ("1000:5\r\nagain\r\n".to_owned(), 0));
    let running = Bundle::new(&["sleep", "1000"]);
    running.start("c");
    let mut exec = running.command();
    exec.args(["exec", "--tty", "--user", "1000:100", "c", "sh", "-c", script]);
    assert_eq!(on_terminal(exec), ("1000:5\r\nagain\r\n".to_owned(), 0));
}

#[test]
fn a_terminal_that_would_lead_nowhere_is_refused() {
    let bundle = with_terminal("true");
    for line in [&["create", "c"][..], &["run", "--detach", "c"]] {
        let error = bundle.tare(line).fails(1);
        assert!(error.contains("without setting console socket"), "{error}");
    }
    let plain = Bundle::new(&["true"]);
    for line in
        [&["run", "--console-socket", "s", "c"][..], &["create", "--console-socket", "s", "c"]]
    {
        let error = plain.tare(line).fails(1);
        assert!(error.contains("cannot use console socket"), "{error}");
    }
}

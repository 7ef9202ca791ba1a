//! A container's word that it is ready reaches the supervisor of whoever runs it.

use crate::bundle::Bundle;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A supervisor's socket.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn new(bundle: &Bundle) -> Supervisor {
        let path = bundle.path().join("supervisor");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Supervisor { socket, path }
    }

    /// What comes next. A descriptor that comes with it is closed, as the supervisor does.
    fn hears(&self) -> String {
        let mut message = [0; 256];
        let length =
            rustix::io::retry_on_intr(|| rustix::io::read(self.socket.as_fd(), &mut message));
        String::from_utf8(message[..length.unwrap()].to_vec()).unwrap()
    }

    fn of(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.path).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A container that says that it is ready when the file `/go` appears: a program of the host sends
/// its words, for busybox cannot.
fn ready_on_go() -> Bundle {
    let script = "echo $NOTIFY_SOCKET > /said; while [ ! -e /go ]; do sleep 0.05; done; sleep 1000";
    let mut bundle = Bundle::script(script);
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    bundle
}

/// Says `words` as the container's program would, through the socket that it was given.
fn say(bundle: &Bundle, words: &str) {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    while fs::read_to_string(bundle.image("said")).unwrap_or_default().is_empty() {
        assert!(std::time::Instant::now() < end, "the program does not run");
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = fs::read_to_string(bundle.image("said")).unwrap();
    assert_eq!(told.trim_end(), "/run/notify/notify.sock");
    let pid = bundle.state("c")["pid"].to_string();
    let path = format!("/proc/{pid}/root{}", told.trim_end());
    UnixDatagram::unbound().unwrap().send_to(words.as_bytes(), path).unwrap();
}

#[test]
fn start_waits_until_the_container_is_ready() {
    let bundle = ready_on_go();
    let supervisor = Supervisor::new(&bundle);
    let mut create = bundle.command();
    create.args(["create", "c"]);
    assert!(supervisor.of(create).status().unwrap().success());
    let mut start = bundle.command();
    start.args(["start", "c"]);
    let mut start = supervisor.of(start).spawn().unwrap();
    say(&bundle, "STATUS=not yet");
    assert!(start.try_wait().unwrap().is_none());
    say(&bundle, "STATUS=now\nREADY=1\n");
    let pid = bundle.state("c")["pid"].to_string();
    assert_eq!(supervisor.hears(), "READY=1\n");
    assert_eq!(supervisor.hears(), format!("MAINPID={pid}\n"));
    assert_eq!(supervisor.hears(), "BARRIER=1");
    assert!(start.wait().unwrap().success());
    assert_eq!(bundle.state("c")["status"], "running");
}

#[test]
fn a_detached_run_waits_for_the_ready_or_the_end() {
    let bundle = ready_on_go();
    let supervisor = Supervisor::new(&bundle);
    let mut run = bundle.command();
    run.args(["run", "--detach", "c"]);
    let mut run = supervisor.of(run).spawn().unwrap();
    say(&bundle, "READY=1");
    let pid = bundle.state("c")["pid"].to_string();
    assert_eq!(supervisor.hears(), "READY=1\n");
    assert_eq!(supervisor.hears(), format!("MAINPID={pid}\n"));
    assert_eq!(supervisor.hears(), "BARRIER=1");
    assert!(run.wait().unwrap().success());

    let silent = Bundle::new(&["true"]);
    let supervisor = Supervisor::new(&silent);
    let mut run = silent.command();
    run.args(["run", "--detach", "c"]);
    assert!(supervisor.of(run).status().unwrap().success());
}

/// The runtime itself stays, and is the process to watch.
#[test]
fn a_run_that_stays_is_watched_itself() {
    let bundle = ready_on_go();
    let supervisor = Supervisor::new(&bundle);
    let mut run = bundle.command();
    run.args(["run", "c"]);
    let mut run = supervisor.of(run).spawn().unwrap();
    say(&bundle, "READY=1");
    assert_eq!(supervisor.hears(), "READY=1\n");
    assert_eq!(supervisor.hears(), format!("MAINPID={}\n", run.id()));
    bundle.tare(&["kill", "c", "KILL"]).ok();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn without_a_supervisor_there_is_no_socket() {
    let bundle = Bundle::script("echo -$NOTIFY_SOCKET-; ls /run");
    assert_eq!(bundle.tare(&["run", "c"]).out, "--\n");
}

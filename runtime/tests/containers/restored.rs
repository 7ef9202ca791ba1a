//! Containers that are dumped and restored by the machine's own criu.
//!
//! Where it is missing, or fails for reasons of its own, what is tested is that this is said and that
//! the container goes on. TARE_TEST_CRIU names another program than the one on the path.

use crate::bundle::{Bundle, Ran};
use crate::criu::{Found, RealCriu};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// Counts in a file, so that it is seen whether it goes on where it was.
const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.02; done";

fn run(criu: &RealCriu, bundle: &Bundle, args: &[&str]) -> Ran {
    let mut command = criu.command(bundle);
    // Streams that lead to the test would end up in the images.
    Ran::from(command.args(args).output().unwrap())
}

/// The criu that works, or else `None` after seeing to it that `bundle`'s container, which is called
/// `c` and runs, outlives one that does not.
fn working(bundle: &Bundle) -> Option<RealCriu> {
    let (error, expected) = match RealCriu::find() {
        Found::Works(criu) => return Some(criu),
        Found::Fails(criu) => (run(&criu, bundle, &["checkpoint", "c"]), "criu failed: "),
        Found::Missing => (bundle.tare(&["checkpoint", "c"]), "install criu"),
    };
    let error = error.fails(1);
    assert!(error.contains(expected), "{error}");
    assert_eq!(bundle.state("c")["status"], "running");
    None
}

fn count(bundle: &Bundle) -> u64 {
    let text = fs::read_to_string(bundle.image("tmp/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[track_caller]
fn counts_on(bundle: &Bundle) {
    let before = count(bundle);
    bundle.wait_until("it counts", || count(bundle) > before);
}

fn counting() -> Bundle {
    let mut bundle = Bundle::script(COUNT);
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    bundle
}

#[test]
fn a_container_goes_on_where_it_was() {
    let mut bundle = counting();
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "data\n").unwrap();
    symlink("/real", bundle.image("link")).unwrap();
    fs::create_dir(bundle.image("real")).unwrap();
    bundle.mount("/link", "bind", &volume, &["bind", "ro"]);
    bundle.mount("/link/../other/deep", "bind", &volume, &["rbind"]);
    bundle.start("c");
    counts_on(&bundle);
    let Some(criu) = working(&bundle) else { return };
    let masks = || {
        let table = bundle.tare(&["exec", "c", "cat", "/proc/1/mountinfo"]).ok();
        table.lines().filter(|line| line.contains("/null /proc/") && line.contains(" ro,")).count()
    };
    let masked = masks();
    for _ in 0..2 {
        run(&criu, &bundle, &["checkpoint", "--image-path", "images", "c"]).ok();
        assert!(bundle.tare(&["state", "c"]).fails(1).contains("does not exist"));
        let stopped = count(&bundle);
        let _ = fs::remove_dir_all(bundle.image("other"));
        let restore = ["restore", "--detach", "--image-path", "images", "--pid-file", "pid", "c"];
        run(&criu, &bundle, &restore).ok();
        fs::remove_file(bundle.path().join("pid")).unwrap();
        assert_eq!(bundle.state("c")["status"], "running");
        counts_on(&bundle);
        assert!(count(&bundle) < stopped + 1000, "it has not begun anew");
        assert!(count(&bundle) > stopped);

        let script = "cat /real/file /other/deep/file; touch /real/new; cat /proc/keys; ip addr";
        let ran = bundle.tare(&["exec", "c", "sh", "-c", script]);
        assert!(ran.out.starts_with("data\ndata\n"), "{ran:?}");
        assert!(ran.out.contains("lo: <LOOPBACK,UP"), "{ran:?}");
        assert!(ran.err.contains("Read-only file system"), "{ran:?}");
        assert!(masked > 0);
        assert_eq!(masks(), masked);
    }
    bundle.tare(&["pause", "c"]).ok();
    assert_eq!(bundle.state("c")["status"], "paused");
    bundle.tare(&["resume", "c"]).ok();
    bundle.tare(&["exec", "c", "true"]).ok();
    bundle.tare(&["delete", "--force", "c"]).ok();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(bundle.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn one_that_is_left_running_goes_on_twice() {
    let bundle = counting();
    bundle.start("c");
    let Some(criu) = working(&bundle) else { return };
    run(&criu, &bundle, &["checkpoint", "--leave-running", "c"]).ok();
    counts_on(&bundle);
    bundle.tare(&["pause", "c"]).ok();
    run(&criu, &bundle, &["checkpoint", "--image-path", "paused", "c"]).ok();
    run(&criu, &bundle, &["restore", "--detach", "--image-path", "paused", "d"]).ok();
    counts_on(&bundle);
    let error = run(&criu, &bundle, &["restore", "--detach", "d"]).fails(1);
    assert!(error.contains("already exists"), "{error}");
}

#[test]
fn pipes_are_those_of_who_restores() {
    let bundle = Bundle::script("while read -r line; do echo got $line; done; exit 5");
    let start = |command: &mut Command| {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = start(bundle.command().args(["run", "--keep", "c"]));
    bundle.wait_until("it is there", || bundle.tare(&["state", "c"]).status == 0);
    bundle.wait_for("c", "running");
    let echo = |child: &mut std::process::Child, line: &str| {
        writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        let mut answer = String::new();
        out.read_line(&mut answer).unwrap();
        answer
    };
    assert_eq!(echo(&mut first, "one"), "got one\n");
    if let Some(criu) = working(&bundle) {
        run(&criu, &bundle, &["checkpoint", "c"]).ok();
        first.wait().unwrap();
        let mut second = start(criu.command(&bundle).args(["restore", "c"]));
        assert_eq!(echo(&mut second, "two"), "got two\n");
        drop(second.stdin.take());
        assert_eq!(second.wait().unwrap().code(), Some(5));
        assert_eq!(bundle.tare(&["list", "--quiet"]).ok(), "", "restore has removed it");
    } else {
        drop(first.stdin.take());
        first.wait().unwrap();
    }
}

#[test]
fn a_terminal_goes_to_the_console_socket_again() {
    let mut bundle = Bundle::script("while read -r line; do echo got $line; done");
    bundle.edit(|config| config["process"]["terminal"] = true.into());
    let path = bundle.path().join("console");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    bundle.leave(&["run", "--detach", "--console-socket", socket, "c"]);
    let terminal = receive(&listener);
    assert_eq!(talk(&terminal, "one"), "one\r\ngot one\r\n");
    let Some(criu) = working(&bundle) else { return };
    run(&criu, &bundle, &["checkpoint", "c"]).ok();
    drop(terminal);
    run(&criu, &bundle, &["restore", "--detach", "--console-socket", socket, "c"]).ok();
    let terminal = receive(&listener);
    assert_eq!(talk(&terminal, "two"), "two\r\ngot two\r\n");
}

/// Takes the terminal that somebody connects to send.
fn receive(listener: &std::os::unix::net::UnixListener) -> fs::File {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (socket, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0u8; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut name)];
    recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.unwrap().into()
}

/// Types a line, and gives what is shown up to the end of the answer.
fn talk(mut terminal: &fs::File, line: &str) -> String {
    use std::io::Read;
    writeln!(terminal, "{line}").unwrap();
    let mut shown = String::new();
    let mut chunk = [0u8; 256];
    while !shown.ends_with(&format!("got {line}\r\n")) {
        let length = terminal.read(&mut chunk).unwrap();
        shown += std::str::from_utf8(&chunk[..length]).unwrap();
    }
    shown
}

#[test]
fn a_user_namespace_and_mapped_mounts_come_back() {
    let mut bundle = counting();
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    bundle.mount("/mapped", "bind", &volume, &["bind", "idmap"]);
    bundle.edit(|config| {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
    });
    use std::os::unix::fs::PermissionsExt;
    for open in [bundle.path().to_owned(), bundle.image(""), bundle.image("tmp")] {
        fs::set_permissions(open, PermissionsExt::from_mode(0o777)).unwrap();
    }
    bundle.start("c");
    counts_on(&bundle);
    let Some(criu) = working(&bundle) else { return };
    run(&criu, &bundle, &["checkpoint", "c"]).ok();
    // criu reads some images as root of the container.
    let open = PermissionsExt::from_mode(0o755);
    fs::set_permissions(bundle.path().join("checkpoint"), open).unwrap();
    run(&criu, &bundle, &["restore", "--detach", "c"]).ok();
    counts_on(&bundle);
    let script = "id -u; stat -c %u /mapped /tmp/count; echo > /dev/null; cat /proc/self/uid_map";
    let out = bundle.tare(&["exec", "c", "sh", "-c", script]).ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "0", "100000", "65536"], "{out}");
}

#[test]
fn a_network_that_is_named_is_the_same_again() {
    let mut bundle = counting();
    let mut holder = Command::new("unshare");
    let mut holder = holder.args(["--net", "sleep", "1000"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    bundle.wait_until("it has a network", || fs::read_link(&path).unwrap() != own);
    bundle.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = path.clone().into();
            }
        }
    });
    bundle.start("c");
    if let Some(criu) = working(&bundle) {
        run(&criu, &bundle, &["checkpoint", "c"]).ok();
        run(&criu, &bundle, &["restore", "--detach", "c"]).ok();
        let init = format!("/proc/{}/ns/net", bundle.state("c")["pid"]);
        assert_eq!(fs::read_link(init).unwrap(), fs::read_link(&path).unwrap());
    }
    bundle.tare(&["delete", "--force", "c"]).ok();
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn images_that_criu_cannot_read_leave_nothing() {
    let bundle = counting();
    bundle.start("c");
    let Some(criu) = working(&bundle) else { return };
    run(&criu, &bundle, &["checkpoint", "c"]).ok();
    let pages = bundle.path().join("checkpoint/inventory.img");
    fs::write(&pages, "garbage").unwrap();
    let error = run(&criu, &bundle, &["restore", "--detach", "d"]).fails(1);
    assert!(error.contains("criu failed: type RESTORE"), "{error}");
    assert!(error.contains("checkpoint/restore.log"), "{error}");
    assert!(bundle.tare(&["state", "d"]).fails(1).contains("does not exist"));
}

//! What these processes cannot do, should what they read take them over.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, getppid, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use super::*;
use crate::given_up::GiveUp;
use crate::snapshot::lookup::Alone;

/// A snapshot, and a program that does what the shell script `script` says in place of ours; what
/// uncompresses has an argument, what unpacks has none.
struct Stage {
    directory: TempDir,
    files: OwnedFd,
}

impl Stage {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::create_dir(directory.path().join("fs")).unwrap();
        let files = File::open(directory.path().join("fs")).unwrap().into();
        Self { directory, files }
    }

    fn unpacker(&self) -> Unpacker {
        Unpacker(self.directory.path().join("program"))
    }

    fn task<'a>(&'a self, given_up: &'a GivenUp) -> Task<'a> {
        Task {
            kind: Kind::Layer(crate::snapshot::DriverName::Overlay),
            files: &self.files,
            lowers: &Alone,
            known: None,
            limits: Limits::default(),
            given_up,
        }
    }

    fn unpack(&self, source: impl Read + Send) -> Result<Decoded<u64>> {
        self.unpacker().unpack(&self.task(&GivenUp::default()), source)
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Hears the order.
const HEAR: &str = "/bin/dd bs=200k count=1 <&1 >/dev/null 2>&1";
/// Reads all of the layer.
const READ: &str = "/bin/cat >/dev/null";
/// Says that a layer of seven bytes is unpacked.
const SAY: &str = r#"printf '{"Done":{"size":7}}'"#;

#[test]
fn the_digest_is_that_of_what_came_whatever_is_said() {
    let stage = Stage::new(&format!("{HEAR}\n{READ}\n{SAY}"));
    let content = vec![7; 5_000_000];
    let done = stage.unpack(content.as_slice()).unwrap();
    assert_eq!((done.outcome, done.digest), (7, Digest::of(&content)));
    // One that makes something else of the compressed stream gives itself away by the digest.
    let script = r#"if [ "$1" ]; then printf other; printf '"Whole"' >&2; exit; fi"#;
    let stage = Stage::new(&format!("{script}\n{HEAR}\n{READ}\n{SAY}"));
    let done = stage.unpack(gzip(b"content").as_slice()).unwrap();
    assert_eq!((done.digest, done.compression), (Digest::of(b"other"), Compression::Gzip));
}

#[test]
fn who_has_not_read_all_has_not_unpacked_it() {
    let stage = Stage::new(&format!("{HEAR}\n{SAY}"));
    let error = stage.unpack(io::repeat(7).take(50_000_000)).err().unwrap();
    assert!(error.to_string().contains("has not read all of it"), "{error}");
}

#[test]
fn who_dies_has_done_nothing() {
    let stage = Stage::new("exit 3");
    let error = stage.unpack(&[7; 10][..]).err().unwrap();
    assert_eq!(error.to_string(), "the process that unpacks the layer died: exit status: 3");
    let stage = Stage::new(&format!("[ \"$1\" ] && exit 4\n{HEAR}\n{READ}\n{SAY}"));
    let error = stage.unpack(gzip(b"content").as_slice()).err().unwrap();
    assert_eq!(error.kind(), crate::Kind::System);
    assert!(error.to_string().contains("uncompresses the layer died"), "{error}");
    let source = io::Cursor::new(gzip(b"content"));
    let limits = Limits::default();
    let reader =
        stage.unpacker().uncompressed(source, Compression::Gzip, &limits, &GivenUp::default());
    let error = unreadable(reader.unwrap().read_to_end(&mut Vec::new()).unwrap_err());
    assert!(error.to_string().contains("uncompresses the layer died"), "{error}");
}

#[test]
fn a_source_that_fails_is_the_reason_whatever_is_said() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(libc::EIO))
        }
    }
    let script = r#"if [ "$1" ]; then /bin/cat >/dev/null; printf '"Whole"' >&2; exit; fi"#;
    let stage = Stage::new(&format!("{script}\n{HEAR}\n{READ}\n{SAY}"));
    for start in [vec![7; 1000], gzip(b"content")] {
        let error = stage.unpack(start.as_slice().chain(Broken)).err().unwrap();
        assert!(error.to_string().contains("os error 5"), "{error}");
    }
}

/// Gives up what `work` does once it has begun.
fn given_up<T: Send>(work: impl FnOnce(&GivenUp) -> T + Send) -> T {
    let give_up = GiveUp::default();
    let watched = give_up.watched();
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&watched));
        // Before it has begun is as good.
        thread::sleep(Duration::from_millis(50));
        drop(give_up);
        working.join().unwrap()
    })
}

#[test]
fn who_stalls_is_killed_when_nobody_waits_any_more() {
    let stage = Stage::new("exec /bin/sleep 1000");
    for source in [vec![7; 5_000_000], gzip(&vec![7; 5_000_000])] {
        let unpacked =
            given_up(|watched| stage.unpacker().unpack(&stage.task(watched), source.as_slice()));
        let error = unpacked.err().unwrap();
        assert!(error.to_string().contains("nobody waits"), "{error}");
    }
    let source = io::Cursor::new(gzip(b"content"));
    let read = given_up(|watched| {
        let limits = Limits::default();
        let mut reader =
            stage.unpacker().uncompressed(source, Compression::Gzip, &limits, watched).unwrap();
        reader.read(&mut [0])
    });
    assert!(read.is_err());
}

#[test]
fn who_does_not_listen_is_not_waited_for() {
    // It asks and asks, and hears no answer.
    let script = r#"while printf '{"Find":[120]}'; do :; done; exec /bin/sleep 1000"#;
    stage_fails(&Stage::new(script));
}

fn stage_fails(stage: &Stage) {
    let error = stage.unpack(&[7; 10][..]).err().unwrap();
    assert_eq!(error.kind(), crate::Kind::System, "{error}");
}

/// Starts `taken_over` as a process that unpacks, and serves it.
#[test]
fn one_that_is_taken_over_reaches_nothing() {
    let stage = Stage::new("");
    let (line, end) = Line::pair().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "snapshot::confined::tests::taken_over", "--ignored", "--nocapture"])
        .stdin(end)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let given_up = GivenUp::default();
    let root = shielded(stage.files.as_fd(), Access::Write).unwrap();
    let served = serve(&stage.task(&given_up), root, &line);
    assert!(child.wait().unwrap().success(), "what it said stands above");
    assert_eq!(served.unwrap(), Some(0));
    assert!(PathBuf::from("/dev/zero").exists());
    assert!(stage.directory.path().join("fs/zero").exists());
}

#[test]
#[ignore = "another test starts it, with a line as its standard input"]
fn taken_over() {
    let line = Line::new(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (order, root) = line.hear::<words::Order>().unwrap().unwrap();
    privileged::ask_over(line);
    let manager = getppid().unwrap();
    fence::close(root.unwrap().as_fd(), fence::FOR_FILES, &order.limits).unwrap();
    let root = File::open("/").unwrap();

    // Its root is the directory of the layer's files, which it so cannot exchange.
    let names = Dir::read_from(&root).unwrap().map(|entry| entry.unwrap());
    let names: Vec<_> = names.map(|entry| entry.file_name().to_owned()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // A device that the manager makes for it is no way to one.
    privileged::make_device(root.as_fd(), b"zero", false, (1, 5)).unwrap();
    rustix::fs::chmodat(&root, "zero", Mode::from_raw_mode(0o666), AtFlags::empty()).unwrap();
    let zero = rustix::fs::openat(&root, "zero", OFlags::RDONLY, Mode::empty());
    assert_eq!(zero.unwrap_err(), Errno::ACCESS);

    // Nobody hears of it, by a signal or otherwise, and it outlives nobody.
    assert_eq!(kill_process(manager, Signal::USR1).unwrap_err(), Errno::NOSYS);
    assert_eq!(set_parent_process_death_signal(None).unwrap_err(), Errno::NOSYS);
    let pipe = rustix::pipe::fcntl_setpipe_size(&root, PIPE);
    assert_eq!(pipe.unwrap_err(), Errno::NOSYS);
    rustix::fs::fcntl_getfl(&root).unwrap();
    assert!(thread::Builder::new().spawn(|| ()).is_err());
    assert!(rustix::fs::openat(CWD, "/proc/self/exe", OFlags::RDONLY, Mode::empty()).is_err());
    assert!(
        rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None
        )
        .is_err()
    );
    privileged::tell(&words::Said::Done { size: 0 }).unwrap();
}

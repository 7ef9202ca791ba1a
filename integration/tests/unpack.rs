//! Layers are unpacked by a process that can do little else.
#![allow(clippy::expect_used)]

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar};
use tare_integration::images::busybox_tar;
use tare_integration::peer;
use tare_integration::wait::{until, until_true};
use tare_integration::{Host, Running, on_host, on_host_with};

/// Half of an archive is imported, and the process waits for the other half.
fn half_imported(host: &Host, archive: &[u8]) -> (Running, i32) {
    let mut import = host.docker_running("import - slow");
    import.write(&archive[..archive.len() / 2]);
    (import, process_called(host, "tared-unpack"))
}

fn process_called(host: &Host, name: &str) -> i32 {
    until(name, || {
        let children = children(host.daemon_process());
        children.into_iter().find(|child| command(*child).starts_with(name))
    })
}

fn children(process: i32) -> Vec<i32> {
    // A thread's children are those that it has started itself.
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let lists = tasks
        .into_iter()
        .flat_map(Iterator::flatten)
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| numbers(&list)).collect()
}

fn numbers(list: &str) -> Vec<i32> {
    list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn command(process: i32) -> String {
    std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default()
}

/// What a file is, whatever it is called.
fn identity(path: &Path) -> (u64, u64) {
    let metadata = std::fs::metadata(path).expect("look at it");
    (metadata.dev(), metadata.ino())
}

/// Everything in a directory and below it.
fn all_in(directory: &Path, all: &mut HashSet<(u64, u64)>) {
    all.insert(identity(directory));
    for entry in std::fs::read_dir(directory).expect("list it").flatten() {
        let metadata = entry.metadata().expect("look at it");
        all.insert((metadata.dev(), metadata.ino()));
        if metadata.is_dir() {
            all_in(&entry.path(), all);
        }
    }
}

/// A line of a process's status.
fn status(process: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.map(str::to_owned)
}

/// Whether every thread of it has given all up but these capabilities.
fn assert_fenced_in(process: i32, capabilities: &str) {
    // It fences itself in before it reads a byte.
    until_true("the filter of system calls", || status(process, "Seccomp").as_deref() == Some("2"));
    assert_eq!(status(process, "NoNewPrivs").as_deref(), Some("1"));
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(status(process, set).as_deref(), Some(capabilities), "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status(process, set).as_deref(), Some("0000000000000000"), "{set}");
    }
    // One thread is all that it has, and all that it can have.
    assert_eq!(status(process, "Threads").as_deref(), Some("1"));
}

/// What is open in a process that is neither a pipe nor a socket.
fn opened(process: i32) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("list descriptors");
    let is_stream = |path: &PathBuf| {
        let to = std::fs::read_link(path).expect("read a link in /proc");
        ["pipe:", "socket:"].iter().any(|kind| to.to_string_lossy().starts_with(kind))
    };
    open.flatten().map(|entry| entry.path()).filter(|path| !is_stream(path)).collect()
}

#[test]
fn the_processes_that_read_a_layer_are_fenced_in() {
    if !peer::is_tared("a process that unpacks") {
        return;
    }
    on_host(|host| {
        let before = host.footprint();
        let archive = tare_integration::archive::gzip(busybox_tar());
        let (mut import, process) = half_imported(host, &archive);
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETFCAP.
        assert_fenced_in(process, "000000008000001b");
        // Its root is the directory of one snapshot's files, without devices.
        let root = PathBuf::from(format!("/proc/{process}/root"));
        let snapshots = host.places().data_root.join("snapshots");
        let files = std::fs::read_dir(snapshots).expect("list snapshots").flatten();
        let files: Vec<PathBuf> = files
            .map(|entry| entry.path().join("fs"))
            .filter(|files| files.is_dir() && identity(files) == identity(&root.join(".")))
            .collect();
        let [files] = files.as_slice() else { panic!("its root is no snapshot's: {files:?}") };
        let flags = rustix::fs::statvfs(root.join(".")).expect("look at its mount").f_flag;
        let wanted =
            StatVfsMountFlags::NODEV | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NOEXEC;
        assert!(flags.contains(wanted), "{flags:?}");
        // Nothing is open but its streams and what is below its root.
        let open: Vec<_> = opened(process).iter().map(|path| identity(path)).collect();
        let mut inside = HashSet::new();
        all_in(files, &mut inside);
        assert!(open.iter().all(|opened| inside.contains(opened)), "{open:?}");
        // The one that uncompresses has not even that.
        let other = process_called(host, "tared-uncompress");
        assert_fenced_in(other, "0000000000000000");
        assert!(opened(other).is_empty());
        import.write(&archive[archive.len() / 2..]);
        import.wait().ok();
        host.docker("run --rm slow busybox echo whole").stdout("whole\n");
        host.docker("rmi -f slow").ok();
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn what_nobody_waits_for_ends_though_it_stalls() {
    if !peer::is_tared("a process that unpacks") {
        return;
    }
    on_host(|host| {
        let before = host.footprint();
        let (import, process) = half_imported(host, busybox_tar());
        assert_fenced_in(process, "000000008000001b");
        let stalled = Pid::from_raw(process).expect("it is one");
        kill_process(stalled, Signal::STOP).expect("stop it");
        drop(import);
        until_true("its end", || command(process).is_empty());
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn a_process_that_dies_takes_its_layer_with_it_and_nothing_else() {
    if !peer::is_tared("a process that unpacks") {
        return;
    }
    on_host(|host| {
        let before = host.footprint();
        let (mut import, process) = half_imported(host, busybox_tar());
        kill_process(Pid::from_raw(process).expect("it is one"), Signal::KILL).expect("kill it");
        import.close_stdin();
        import.wait().code(1).stderr_has("the process that unpacks the layer died");
        host.leaves_nothing_since(&before);
        host.docker("info").ok();
    });
}

#[test]
fn a_layer_is_as_if_it_was_unpacked_upon_those_below() {
    on_host(|host| {
        let layers = vec![
            busybox_tar().to_vec(),
            Tar::new()
                .directory("srv", 0o750)
                .file("srv/below", 0o4755, b"below")
                .file("srv/gone", 0o644, b"gone")
                .file("srv/open", 0o666, b"")
                .directory("srv/hidden", 0o755)
                .file("srv/hidden/file", 0o644, b"hidden")
                .bytes(),
            Tar::new()
                // A hard link to a file of another layer, in directories that nobody describes.
                .hard_link("srv/deep/link", "srv/below")
                .file("srv/.wh.gone", 0o644, b"")
                .file("srv/hidden/.wh..wh..opq", 0o644, b"")
                .file("srv/hidden/new", 0o644, b"new")
                .device("srv/null", 0o666, (1, 3))
                .pipe("srv/pipe", 0o600)
                .bytes(),
        ];
        let archive =
            DockerArchive { tags: vec!["stacked:latest".to_owned()], layers, config: json!({}) };
        host.docker_with_input("load", &archive.bytes()).ok();
        let script = "cat /srv/deep/link; stat -c %a /srv /srv/deep /srv/deep/link /srv/open; \
                      ls /srv /srv/hidden; stat -c %F,%t,%T /srv/null /srv/pipe";
        host.docker(&format!("run --rm stacked busybox sh -c 'exec 2>&1; {script}'")).stdout(
            "below750\n755\n4755\n666\n/srv:\nbelow\ndeep\nhidden\nnull\nopen\npipe\n\n/srv/hidden:\nnew\n\
             character special file,1,3\nfifo,0,0\n",
        );
        host.docker("rmi -f stacked").ok();
    });
}

#[test]
fn what_is_too_large_is_refused_before_the_disk_is_full() {
    if !peer::is_tared("limits of layers") {
        return;
    }
    on_host_with(&["--max-layer-size=1m", "--max-layer-files=50"], |host| {
        let before = host.footprint();
        let bomb = tare_integration::archive::gzip(
            &Tar::new().file("zeros", 0o644, &vec![0; 8 << 20]).bytes(),
        );
        assert!(bomb.len() < 100_000);
        host.docker_with_input("import - bomb", &bomb)
            .code(1)
            .stderr_has("more than the 1048576 bytes that are allowed");
        let many = (0..60).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), 0o644, b""));
        host.docker_with_input("import - many", &many.bytes())
            .code(1)
            .stderr_has("the layer has more than 50 files");
        host.leaves_nothing_since(&before);
    });
}

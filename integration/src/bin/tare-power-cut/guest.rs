//! What is done on a disk after a cut: `tared` is started on it, all is looked at, what is missing is
//! pulled, and then, in a guest, it works until the next cut.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::api::{self, SOCKET, Wrong};
use crate::check::{Found, check, remove_all};
use crate::images::{IMAGES, REGISTRY, WORKERS, pulled};
use crate::ledger::Ledger;
use crate::say;
use crate::work::Worker;

/// Where the disk is mounted: there is such a directory everywhere.
const DISK: &str = "/mnt";
/// What `tared` writes.
pub(crate) const LOG: &str = "/run/tared.log";
/// Longer than anything takes to start here.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the guest is to do.
pub(crate) struct Task<'a> {
    /// The host's directory with the images and the ledger.
    pub(crate) state: &'a Path,
    /// The block device, or the file that is one.
    pub(crate) disk: &'a str,
    pub(crate) file_system: &'a str,
    pub(crate) seed: u64,
    pub(crate) then: Then,
}

/// What is done when all has been looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing more.
    End,
    /// All is removed, and nothing must be left.
    Remove,
    /// Work.
    Work,
}

impl Then {
    /// It by its word, and its word.
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("end", Self::End), ("remove", Self::Remove), ("work", Self::Work)];
}

/// Does it; returns only when something is wrong, or the task is done.
pub(crate) fn run(task: &Task<'_>) -> Result<(), Wrong> {
    mount(task)?;
    let registry = task.state.join("registry.yml");
    let mut registry =
        start("docker-registry", &["serve", &registry.display().to_string()], "/run/registry.log")?;
    wait("the registry", &mut registry, || TcpStream::connect(REGISTRY).is_ok())?;
    say("starting");
    let begun = Instant::now();
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let data = format!("{DISK}/tare");
    let tared = program.with_file_name("tared").display().to_string();
    let arguments = [
        &format!("--data-root={data}"),
        "--exec-root=/run/tare",
        &format!("--host=unix://{SOCKET}"),
        "--pidfile=/run/tared.pid",
    ];
    let mut tared = start(&tared, &arguments, LOG)?;
    wait("tared", &mut tared, || api::send("GET", "/_ping", "", b"").is_ok())?;
    say(&format!("started in {} ms", begun.elapsed().as_millis()));
    let data = Path::new(&data);
    let ledger = std::fs::read_to_string(task.state.join("ledger")).unwrap_or_default();
    let mut expected = Ledger::default();
    for line in ledger.lines() {
        expected.take(line);
    }
    let found = check(data, &expected)?;
    tell(&found);
    let ledger = fill(found.ledger)?;
    let found = check(data, &ledger)?;
    tell(&found);
    match task.then {
        Then::End => return Ok(()),
        Then::Remove => {
            remove_all(data)?;
            say("empty");
            return Ok(());
        }
        Then::Work => say("working"),
    }
    let ended = std::sync::mpsc::channel();
    for number in 0..WORKERS {
        let worker = Worker::new(number, task.seed, task.state, &found.ledger);
        let ended = ended.0.clone();
        std::thread::spawn(move || ended.send(worker.work()));
    }
    Err(ended.1.recv().map_err(|error| error.to_string())?)
}

/// Pulls every image that is not there.
fn fill(mut ledger: Ledger) -> Result<Ledger, Wrong> {
    let there: Vec<_> = ledger.iter().map(|(name, _)| name.clone()).collect();
    for image in 0..IMAGES {
        let name = pulled(image % WORKERS, image);
        if !there.contains(&name) {
            say(&format!("? {name}"));
            let line = format!("+ {name} {}", api::pull(&name)?);
            say(&line);
            ledger.take(&line);
        }
    }
    Ok(ledger)
}

/// Tells the host what is there, so that it knows of all that was open.
fn tell(found: &Found) {
    say("ledger begins");
    found.ledger.text().lines().for_each(say);
    say("ledger ends");
    say(&format!(
        "whole: {} images, {} containers, {} blobs, {} layers, {} bytes of parts",
        found.images, found.containers, found.blobs, found.layers, found.parts
    ));
}

fn mount(task: &Task<'_>) -> Result<(), Wrong> {
    let Task { disk, file_system, .. } = task;
    let script = if disk.starts_with("/dev/") {
        // The last of them is only asked for by who sets up the network, just after the start, when
        // the kernel may be too busy to load it in time.
        format!(
            "modprobe -a virtio_blk {file_system} nf_tables; mount -t {file_system} {disk} {DISK}"
        )
    } else {
        // Others may have taken the loop device between the moment it was found free and now.
        format!(
            "mount -t tmpfs tmpfs /run
            for attempt in 1 2 3 4 5 6 7 8 9; do
                ! mount -t {file_system} -o loop {disk} {DISK} || exit 0
                sleep 0.$attempt
            done
            exit 1"
        )
    };
    match Command::new("sh").args(["-ec", &script]).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("mount the disk: {other:?}")),
    }
}

fn start(program: &str, arguments: &[&str], log: &str) -> Result<Child, Wrong> {
    let log = File::create(log).and_then(|log| Ok((log.try_clone()?, log)));
    let (out, err) = log.map_err(|error| error.to_string())?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| format!("start {program}: {error}"))
}

fn wait(name: &str, child: &mut Child, ready: impl Fn() -> bool) -> Result<(), Wrong> {
    let begun = Instant::now();
    while !ready() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("{name} ended: {status}"));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{name} does not answer"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

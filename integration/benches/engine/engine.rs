//! The engines that are compared, each with a store of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare_integration::http;
use tare_integration::wait::DEADLINE;

use crate::machine::{Machine, ok};

/// The image that containers are made of.
pub(crate) const IMAGE: &str = tare_integration::BUSYBOX;

/// A runtime, by its name, whose containers hang in their start.
pub(crate) const STUCK: &str = "stuck";

/// Its program. A daemon may ask for its version and what it can do.
const STUCK_PROGRAM: &str = r#"#!/bin/sh
case " $* " in *" create "*) exec sleep 100000 ;; esac
exec runc "$@"
"#;

/// How often it is looked whether a daemon answers.
const OFTEN: Duration = Duration::from_millis(1);

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Tared,
    /// With its default store, the graph driver overlay2, and with its own bridge.
    Dockerd,
    /// Without a daemon, with netavark's bridge and crun.
    Podman,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 3] = [Kind::Tared, Kind::Dockerd, Kind::Podman];
    /// Those that speak docker's API.
    pub(crate) const DAEMONS: [Kind; 2] = [Kind::Tared, Kind::Dockerd];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tared => "tared",
            Kind::Dockerd => "dockerd",
            Kind::Podman => "podman",
        }
    }

    /// The programs that run as long as its containers, or longer.
    pub(crate) fn daemons(self) -> &'static [&'static str] {
        match self {
            Kind::Tared => &["tared"],
            Kind::Dockerd => &["dockerd", "containerd"],
            Kind::Podman => &[],
        }
    }
}

/// One that is ready. Its daemon is ended when this is dropped; containers stay.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    home: PathBuf,
    program: PathBuf,
    cgroup: String,
    daemon: Option<Child>,
}

impl Engine {
    /// Starts it with a store that has the image, and nothing else.
    pub(crate) fn open(machine: &Machine, kind: Kind) -> Engine {
        let program = match kind {
            Kind::Tared => machine.program("tared"),
            Kind::Dockerd => "dockerd".into(),
            Kind::Podman => "podman".into(),
        };
        let home = machine.directory(kind.name());
        let stuck = home.join(STUCK);
        std::fs::write(&stuck, STUCK_PROGRAM).expect("write a script");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&stuck, executable).expect("make it executable");
        let cgroup = machine.cgroup.clone();
        let mut engine = Engine { kind, home, program, cgroup, daemon: None };
        engine.start();
        ok(engine.command("load --quiet --input").arg(machine.path("busybox.tar")));
        engine
    }

    /// Those of these kinds that are wanted, all ready.
    pub(crate) fn open_all(machine: &Machine, kinds: Vec<Kind>) -> Vec<Engine> {
        kinds.into_iter().map(|kind| Engine::open(machine, kind)).collect()
    }

    /// Starts its daemon, if it has one and none runs; gives how long that took until it answered.
    pub(crate) fn start(&mut self) -> Duration {
        if self.kind == Kind::Podman || self.daemon.is_some() {
            return Duration::ZERO;
        }
        let name = self.kind.name();
        let log = File::create(self.home.join("log")).expect("make the daemon's log");
        let begun = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--data-root={}", self.home.join("data").display()))
            .arg(format!("--exec-root=/run/{name}"))
            .arg(format!("--pidfile=/run/{name}.pid"))
            .arg(format!("--host=unix://{}", self.socket().display()))
            .arg(format!("--cgroup-parent={}", self.cgroup))
            .arg(format!("--add-runtime={STUCK}={}", self.home.join(STUCK).display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        if self.kind == Kind::Dockerd {
            // As ours is, always.
            command.args(["--storage-driver=overlay2", "--live-restore", "--userland-proxy=false"]);
        }
        let mut daemon = command.spawn().unwrap_or_else(|error| panic!("run {name}: {error}"));
        while !http::get(&self.socket(), "/_ping").is_ok_and(|answer| answer.status == 200) {
            let ended = daemon.try_wait().expect("look after a child");
            assert!(ended.is_none(), "{name} did not start: {}", self.log());
            assert!(begun.elapsed() < DEADLINE, "{name} does not answer: {}", self.log());
            std::thread::sleep(OFTEN);
        }
        let took = begun.elapsed();
        self.daemon = Some(daemon);
        took
    }

    /// Asks its daemon to end, and waits for that.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Ends its daemon, whatever it does.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), signal);
            let _ = daemon.wait();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Where its daemon listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// Its command line with these words after it.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = match self.kind {
            Kind::Tared | Kind::Dockerd => self.docker(),
            Kind::Podman => self.podman(),
        };
        command.args(words.split_whitespace());
        command
    }

    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", &self.home)
            .env("DOCKER_CLI_HINTS", "false");
        command
    }

    fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        let place = |flag: &str, name: &str| format!("{flag}={}", self.home.join(name).display());
        command
            .args([place("--root", "data"), place("--network-config-dir", "networks")])
            .args(["--runroot=/run/podman", "--tmpdir=/run/podman/tmp", "--runtime=crun"])
            .args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs"])
            .args(["--events-backend=file", "--log-level=error"])
            .env("HOME", Path::new("/root"));
        command
    }

    /// Kills a container and removes it. Podman would first ask it to end, as `stop` does.
    pub(crate) fn remove_by_force(&self, name: &str) -> Command {
        let words = match self.kind {
            Kind::Tared | Kind::Dockerd => "rm --force",
            Kind::Podman => "rm --force --time=0",
        };
        let mut command = self.command(words);
        command.arg(name);
        command
    }

    /// `run` with `flags`, then the program of the container.
    pub(crate) fn run(&self, flags: &str, program: &[&str]) -> String {
        ok(self.command("run").args(flags.split_whitespace()).arg(IMAGE).args(program))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

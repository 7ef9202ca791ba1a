//! `tared`, and docker's own daemon, with the command line that both serve.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tare_integration::http;
use tare_integration::wait::until;

use crate::machine::{Machine, ok};

/// The image that containers are made of.
const IMAGE: &str = tare_integration::BUSYBOX;

/// A daemon that runs. It is killed when this is dropped.
pub(crate) struct Daemon {
    process: Child,
    socket: PathBuf,
    configuration: PathBuf,
}

impl Daemon {
    /// Arguments by which dockerd leaves out what needs programs and modules of the host.
    pub(crate) const NO_NETWORK: [&str; 3] =
        ["--bridge=none", "--iptables=false", "--ip6tables=false"];

    /// Starts both, ours first.
    pub(crate) fn both(machine: &Machine) -> [(&'static str, Daemon); 2] {
        let ours = Daemon::start(machine, "tared", &machine.program("tared"), &[]);
        let docker = Daemon::start(machine, "dockerd", Path::new("dockerd"), &Daemon::NO_NETWORK);
        [("tared", ours), ("dockerd", docker)]
    }

    /// Starts one, and loads the image.
    pub(crate) fn start(
        machine: &Machine,
        name: &'static str,
        program: &Path,
        arguments: &[&str],
    ) -> Daemon {
        let home = machine.directory(name);
        let socket = home.join("docker.sock");
        let log = File::create(home.join("log")).expect("make the daemon's log");
        let mut process = Command::new(program)
            .arg(format!("--data-root={}", home.join("data").display()))
            .arg(format!("--exec-root=/run/{name}"))
            .arg(format!("--pidfile=/run/{name}.pid"))
            .arg(format!("--host=unix://{}", socket.display()))
            .arg(format!("--cgroup-parent={}", machine.cgroup))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("run {name}: {error}"));
        until("the daemon's first answer", || {
            let ended = process.try_wait().expect("look after a child");
            assert!(ended.is_none(), "{name} did not start: see {}/log", home.display());
            http::get(&socket, "/_ping").ok().filter(|answer| answer.status == 200)
        });
        let configuration = machine.directory("cli");
        let daemon = Daemon { process, socket, configuration };
        ok(daemon.docker("load --quiet --input").arg(machine.path("busybox.tar")));
        daemon
    }

    /// `docker` with these words after it.
    pub(crate) fn docker(&self, words: &str) -> Command {
        let mut command = Command::new("docker");
        command
            .args(words.split_whitespace())
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", &self.configuration)
            .env("DOCKER_CLI_HINTS", "false");
        command
    }

    /// Runs a container of the image: `flags`, then its program.
    pub(crate) fn run(&self, flags: &str, program: &[&str]) -> String {
        ok(self
            .docker("run --network=none")
            .args(flags.split_whitespace())
            .arg(IMAGE)
            .args(program))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

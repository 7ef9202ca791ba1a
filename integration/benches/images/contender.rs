//! A program with a store of images of its own, empty at first.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare_integration::footprint::cgroups;
use tare_integration::http;
use tare_integration::wait::until;

use crate::account::{Account, Cost};
use crate::machine::{Machine, ok};
use crate::memory::Peak;
use crate::settings::Settings;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Tared,
    /// With its default store, the graph driver overlay2.
    Dockerd,
    /// By `ctr image pull`, which unpacks too.
    Containerd,
    /// Without a daemon.
    Podman,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Tared, Kind::Dockerd, Kind::Containerd, Kind::Podman];
    /// Those that speak docker's API.
    pub(crate) const DOCKER: [Kind; 2] = [Kind::Tared, Kind::Dockerd];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tared => "tared",
            Kind::Dockerd => "dockerd",
            Kind::Containerd => "containerd",
            Kind::Podman => "podman",
        }
    }
}

/// One that is ready. It ends when this is dropped, and its store goes with it.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    home: PathBuf,
    run: PathBuf,
    daemon: Option<Child>,
    account: Account,
    cgroup: PathBuf,
}

/// What something cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Milliseconds until the command line was done.
    pub(crate) told: f64,
    /// Milliseconds until all was on the disk, too.
    pub(crate) synced: f64,
    /// Milliseconds of the processors, the command line's too.
    pub(crate) cpu: f64,
    /// MiB of memory of its own at the peak.
    pub(crate) memory: f64,
}

impl Contender {
    /// Starts it with an empty store; from now on this process is in its account, too.
    pub(crate) fn open(machine: &Machine, kind: Kind, settings: &Settings) -> Contender {
        let name = format!("{}/{}", machine.cgroup, kind.name());
        let account = Account::open(&name);
        let home = new_store(machine, kind);
        let run = Path::new("/run/bench").join(kind.name());
        std::fs::create_dir_all(&run).expect("make a directory");
        let mut contender =
            Contender { kind, home, run, daemon: None, account, cgroup: entered(&name) };
        let command = match kind {
            Kind::Tared => {
                let mut command = contender.docker_daemon(machine, &machine.program("tared"));
                command.args(&settings.tared);
                Some(command)
            }
            Kind::Dockerd => {
                let mut command = contender.docker_daemon(machine, Path::new("dockerd"));
                command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
                command.arg("--storage-driver=overlay2");
                Some(command)
            }
            Kind::Containerd => Some(contender.containerd()),
            Kind::Podman => None,
        };
        if let Some(mut command) = command {
            contender.start(&mut command);
        }
        contender
    }

    /// How the daemons that docker's command line talks to are started.
    fn docker_daemon(&self, machine: &Machine, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg(format!("--data-root={}", self.home.join("data").display()))
            .arg(format!("--exec-root={}", self.run.join("exec").display()))
            .arg(format!("--pidfile={}", self.run.join("pid").display()))
            .arg(format!("--host=unix://{}", self.socket().display()))
            .arg(format!("--cgroup-parent={}", machine.cgroup));
        command
    }

    fn containerd(&self) -> Command {
        let config = self.home.join("config.toml");
        let text = format!(
            "version = 3\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \
             \"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{}\"\n",
            self.home.join("data").display(),
            self.run.join("state").display(),
            self.socket().display(),
        );
        std::fs::write(&config, text).expect("write containerd's configuration");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&config);
        command
    }

    fn start(&mut self, command: &mut Command) {
        let log = File::create(self.home.join("log")).expect("make the daemon's log");
        let mut daemon = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
        let socket = self.socket();
        until("the daemon's first answer", || {
            let ended = daemon.try_wait().expect("look after a child");
            assert!(ended.is_none(), "{:?} did not start: {}", self.kind, self.log());
            match self.kind {
                Kind::Containerd => UnixStream::connect(&socket).ok().map(drop),
                _ => {
                    let answer = http::get(&socket, "/_ping").ok();
                    answer.filter(|answer| answer.status == 200).map(drop)
                }
            }
        });
        self.daemon = Some(daemon);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Where its daemon listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("socket")
    }

    /// `docker` with these words after it.
    pub(crate) fn docker(&self, words: &str) -> Command {
        let mut command = Command::new("docker");
        command
            .args(words.split_whitespace())
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", &self.run)
            .env("DOCKER_CLI_HINTS", "false");
        command
    }

    /// `podman` with these words after it.
    pub(crate) fn podman(&self, words: &str) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.home.join("data")).arg("--runroot").arg(&self.run);
        command.args(["--storage-driver=overlay", "--log-level=error"]);
        command.args(words.split_whitespace());
        command
    }

    /// Pulls an image.
    pub(crate) fn pull(&self, image: &str) {
        let mut command = match self.kind {
            Kind::Tared | Kind::Dockerd => self.docker("pull --quiet"),
            Kind::Podman => self.podman("pull --quiet --tls-verify=false"),
            Kind::Containerd => {
                let mut command = Command::new("ctr");
                command.arg("--address").arg(self.socket());
                command.args(["image", "pull", "--plain-http"]);
                command
            }
        };
        ok(command.arg(image));
    }

    /// Measures `work`, and how long what it has written then takes to be on the disk.
    pub(crate) fn measure(&self, work: impl FnOnce()) -> Figures {
        // What was written before is not its concern.
        self.sync();
        let peak = Peak::watch(&self.cgroup);
        let ((told, synced), cost) = self.account.cost(|| {
            let Cost { wall: told, .. } = self.account.cost(work).1;
            let Cost { wall: syncing, .. } = self.account.cost(|| self.sync()).1;
            (told, told + syncing)
        });
        Figures { told, synced, cpu: cost.cpu, memory: peak.end() }
    }

    fn sync(&self) {
        let home = File::open(&self.home).expect("open the store");
        nix::unistd::syncfs(home).expect("sync the store");
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
            let _ = daemon.wait();
        }
        // Some leave mounts of their directories upon themselves.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        let ours = |place: &&Path| place.starts_with(&self.home) || place.starts_with(&self.run);
        for place in places.filter(ours).collect::<Vec<_>>().into_iter().rev() {
            let _ = umount2(place, MntFlags::MNT_DETACH);
        }
        for directory in [&self.home, &self.run] {
            std::fs::remove_dir_all(directory).expect("delete the store");
        }
        // Space that is given back is not the next one's concern.
        nix::unistd::sync();
    }
}

/// A store's directory, for which ext4 is asked to find a part of the disk where nothing was deleted
/// lately: it would have to look past all of that for each new file.
fn new_store(machine: &Machine, kind: Kind) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let stores = File::open(machine.directory("stores")).expect("open a directory");
    if let Ok(flags) = rustix::fs::ioctl_getflags(&stores) {
        let _ = rustix::fs::ioctl_setflags(&stores, flags | rustix::fs::IFlags::TOPDIR);
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    machine.directory(&format!("stores{}-{}-{count}", machine.cgroup, kind.name()))
}

/// The directory of a cgroup in the hierarchy in which this process is in it.
fn entered(cgroup: &str) -> PathBuf {
    let own = std::process::id().to_string();
    let is_in = |directory: &PathBuf| {
        let processes = std::fs::read_to_string(directory.join("cgroup.procs"));
        processes.is_ok_and(|processes| processes.lines().any(|pid| pid == own))
    };
    cgroups(cgroup).into_iter().find(is_in).expect("this process has entered it")
}

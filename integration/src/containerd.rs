//! A machine with a stock containerd on it, for one test: it runs containers with our shim as it
//! runs them with its own.
//!
//! It is the `containerd` on the path (Debian's package of that name), or the one in the directory
//! that `TARE_TEST_CONTAINERD` names. `TARE_TEST_CONTAINERD_RUNTIME=io.containerd.runc.v2` runs the
//! tests with containerd's own shim, to see that what they expect is what that does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal};

use crate::command::{Ran, Running, run};
use crate::footprint::cgroups;
use crate::namespaces::Namespaces;
use crate::terminal::Terminal;
use crate::wait::until_true;
use crate::{images, programs};

/// The image that there is, as `ctr` wants it named.
pub const IMAGE: &str = "docker.io/library/busybox:latest";

/// What a test's machine has on it first: a place of its own for all sockets and fifos.
const PREPARE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/containerd";

/// A machine of a test's own, with a containerd.
pub struct Containerd {
    process: Mutex<Option<Child>>,
    namespaces: Namespaces,
    directory: Option<PathBuf>,
    scratch: tempfile::TempDir,
    /// containerd's namespace, which is also the cgroup above its containers'.
    name: String,
}

/// Where containerd is.
enum Found {
    /// On the path.
    OnPath,
    /// In this directory.
    In(PathBuf),
    /// Nowhere.
    Missing,
}

fn find() -> Found {
    if let Some(directory) = std::env::var_os("TARE_TEST_CONTAINERD") {
        return Found::In(PathBuf::from(directory));
    }
    match run(Command::new("sh").args(["-c", "command -v containerd && command -v ctr"])).code {
        0 => Found::OnPath,
        _ => Found::Missing,
    }
}

/// Runs a test on a machine whose containerd has [`IMAGE`], and afterwards requires that no
/// container of it is left: no process, mount, cgroup or socket.
#[track_caller]
pub fn on_containerd(test: impl FnOnce(&Containerd)) {
    let directory = match find() {
        Found::OnPath => None,
        Found::In(directory) => Some(directory),
        Found::Missing => {
            eprintln!("NOT TESTED: there is no containerd here; see scripts/install-packages test");
            return;
        }
    };
    let machine = Containerd::start(directory);
    let archive = machine.scratch("image").join("busybox.tar");
    std::fs::write(&archive, images::busybox_archive()).expect("write the image");
    machine.ctr(&format!("images import {}", archive.display())).ok();
    test(&machine);
    machine.leaves_nothing();
}

impl Containerd {
    #[track_caller]
    fn start(directory: Option<PathBuf>) -> Self {
        let scratch = tempfile::Builder::new().prefix("tare-test-").tempdir();
        let scratch = scratch.expect("make a scratch directory");
        let namespaces = Namespaces::make(scratch.path());
        run(namespaces.command("sh").args(["-c", PREPARE])).ok();
        let name = scratch.path().file_name().expect("it has a name").to_string_lossy();
        let machine = Self {
            process: Mutex::default(),
            namespaces,
            directory,
            name: name.into_owned(),
            scratch,
        };
        std::fs::write(machine.path("config.toml"), machine.config()).expect("write its settings");
        machine.start_containerd();
        machine
    }

    fn config(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[debug]\nlevel = \"debug\"\n",
            path("root"),
            path("state"),
            path("containerd.sock"),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A directory that is the test's own, the same path inside and outside.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let directory = self.path(name);
        std::fs::create_dir_all(&directory).expect("make a directory for the test");
        directory
    }

    /// The name of the runtime under test, as `ctr run --runtime` takes it.
    pub fn runtime(&self) -> String {
        std::env::var("TARE_TEST_CONTAINERD_RUNTIME")
            .unwrap_or_else(|_| "io.containerd.tare.v2".to_owned())
    }

    /// The programs that containerd and its shims find: it looks for them on its path.
    fn search_path(&self) -> String {
        let mut places = vec![programs::directory()];
        places.extend(self.directory.clone());
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        let others = std::env::var("PATH").unwrap_or_default();
        format!("{}:{others}", places.join(":"))
    }

    /// Starts containerd, and waits until it answers.
    #[track_caller]
    pub fn start_containerd(&self) {
        let log = File::options().create(true).append(true).open(self.path("log"));
        let log = log.expect("open containerd's log");
        let child = self
            .namespaces
            .command("containerd")
            .arg("--config")
            .arg(self.path("config.toml"))
            .env("PATH", self.search_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share its log"))
            .stderr(log)
            .spawn()
            .expect("run nsenter (util-linux)");
        *self.process.lock().expect("tests have one thread") = Some(child);
        until_true("containerd's first answer", || {
            self.path("containerd.sock").exists() && self.ctr("version").code == 0
        });
    }

    /// Ends containerd at once. What it started goes on.
    #[track_caller]
    pub fn kill_containerd(&self) {
        let pid = self.pid_of("containerd --config").expect("containerd runs");
        self.kill(&pid);
        let child = self.process.lock().expect("tests have one thread").take();
        child.expect("containerd runs").wait().expect("wait for containerd");
    }

    /// Kills a process of this machine.
    #[track_caller]
    pub fn kill(&self, pid: &str) {
        run(self.namespaces.command("kill").args(["-9", pid])).ok();
    }

    /// The pid, as this machine counts, of the one process whose command line has this text.
    pub fn pid_of(&self, text: &str) -> Option<String> {
        self.processes()
            .into_iter()
            .find(|line| line.contains(text))
            .and_then(|line| Some(line.split_once(' ')?.0.to_owned()))
    }

    /// The pid and command line of each process of this machine.
    fn processes(&self) -> Vec<String> {
        let listed = run(self.namespaces.command("ps").args(["-ww", "-e", "-o", "pid=,args="]));
        let lines = listed.ok().lines().map(|line| line.trim().to_owned());
        lines.filter(|line| !line.contains(" ps -ww -e")).collect()
    }

    /// A `ctr` command as a person types it, to be run in a way of its own.
    fn ctr_command(&self, typed: &str) -> Command {
        self.as_typed(self.namespaces.command("sh"), typed)
    }

    fn as_typed(&self, mut shell: Command, typed: &str) -> Command {
        shell
            .args(["-c", &format!("exec ctr {typed}")])
            .env("PATH", self.search_path())
            .env("CONTAINERD_ADDRESS", self.path("containerd.sock"))
            .env("CONTAINERD_NAMESPACE", &self.name);
        shell
    }

    /// `ctr events`, which hears of everything from now on.
    #[track_caller]
    pub fn events(&self) -> Running {
        let shell = self.namespaces.command_outside_pids("sh");
        let events = Running::start(&mut self.as_typed(shell, "events"));
        // Nothing else says that it listens.
        let mut heard = 0;
        until_true("the first event", || {
            heard += 1;
            self.ctr(&format!("images label {IMAGE} heard={heard}")).ok();
            events.stdout().contains("/images/update")
        });
        events
    }

    /// Runs `ctr` with what a person types after it, quotes and all, to its end.
    #[track_caller]
    pub fn ctr(&self, typed: &str) -> Ran {
        run(&mut self.ctr_command(typed))
    }

    /// `ctr run` with the runtime under test.
    #[track_caller]
    pub fn ctr_run(&self, typed: &str) -> Ran {
        self.ctr(&format!("run --runtime {} {typed}", self.runtime()))
    }

    /// Starts `ctr` and lets it run.
    #[track_caller]
    pub fn ctr_running(&self, typed: &str) -> Running {
        Running::start(&mut self.ctr_command(typed))
    }

    /// Starts `ctr` at a terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn ctr_at_terminal(&self, typed: &str) -> Terminal {
        Terminal::start(&self.ctr_command(typed), 24, 80)
    }

    /// What `ctr task ls` says of a container; empty if it has no task.
    pub fn status(&self, container: &str) -> String {
        let listed = self.ctr("task ls");
        let mut lines = listed.stdout.lines().map(str::split_whitespace);
        let found = lines.find_map(|mut words| (words.next() == Some(container)).then_some(words));
        found.and_then(|mut words| words.nth(1)).unwrap_or_default().to_owned()
    }

    /// Waits until that is so.
    #[track_caller]
    pub fn wait_for_status(&self, container: &str, status: &str) {
        until_true(&format!("{container} being {status:?}"), || self.status(container) == status);
    }

    /// containerd's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    #[track_caller]
    fn leaves_nothing(&self) {
        until_true("no container being left", || self.left().is_empty());
    }

    /// What is left of containers.
    fn left(&self) -> Vec<String> {
        let mut left = self.processes();
        left.retain(|line| !line.starts_with("1 ") && !line.contains("containerd --config"));
        let mounts = run(self.namespaces.command("cat").arg("/proc/1/mounts"));
        let bundles = format!("{}/state/", self.scratch.path().display());
        left.extend(mounts.ok().lines().filter(|line| line.contains(&bundles)).map(str::to_owned));
        for parent in cgroups(&format!("/{}", self.name)) {
            let below = std::fs::read_dir(parent).into_iter().flatten().flatten();
            let cgroups = below.map(|entry| entry.path()).filter(|path| path.is_dir());
            left.extend(cgroups.map(|cgroup| cgroup.display().to_string()));
        }
        let sockets = std::fs::read_dir(self.namespaces.outside_path(Path::new("/run/tare/s")));
        let sockets = sockets.into_iter().flatten().flatten();
        left.extend(sockets.map(|socket| socket.path().display().to_string()));
        left
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- containerd's log ---\n{}", self.log());
        }
        if let Some(mut nsenter) = self.process.lock().ok().and_then(|mut process| process.take()) {
            let _ = rustix::process::kill_process(Pid::from_child(&nsenter), Signal::KILL);
            let _ = nsenter.wait();
        }
        self.namespaces.end();
        let parents = cgroups(&format!("/{}", self.name));
        let removed = || parents.iter().all(|parent| remove_cgroup(parent));
        if std::thread::panicking() {
            removed();
        } else {
            until_true("containerd's cgroup being empty", removed);
        }
    }
}

/// Removes a cgroup and those in it; false if it is still there.
fn remove_cgroup(parent: &Path) -> bool {
    let below = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for cgroup in below.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let _ = std::fs::remove_dir(cgroup);
    }
    std::fs::remove_dir(parent).is_ok() || !parent.exists()
}

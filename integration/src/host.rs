//! One machine with one daemon on it, for one test.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use crate::command::{Ran, Running, run, run_with_input};
use crate::daemon::{Daemon, Places};
use crate::footprint::{Footprint, cgroups};
use crate::http::{self, Answer};
use crate::images;
use crate::namespaces::Namespaces;
use crate::peer;
use crate::terminal::Terminal;
use crate::wait::until_true;

/// A machine of a test's own.
pub struct Host {
    daemon: Mutex<Option<Daemon>>,
    arguments: Vec<String>,
    namespaces: Namespaces,
    places: Places,
    scratch: tempfile::TempDir,
    at_first: Footprint,
}

/// Runs a test on a machine whose daemon has [`crate::BUSYBOX`], and afterwards removes all
/// containers, volumes and images and requires that nothing is left of them: no process, mount,
/// interface, firewall element, cgroup or file.
#[track_caller]
pub fn on_host(test: impl FnOnce(&Host)) {
    on_host_with(&[], |host| {
        host.docker_with_input("load", &images::busybox_archive()).ok();
        test(host);
    });
}

/// [`on_host`] with more arguments for the daemon, and without an image.
#[track_caller]
pub fn on_host_with(arguments: &[&str], test: impl FnOnce(&Host)) {
    on(Host::start(arguments, |_, _| {}), test);
}

/// [`on_host`] with these arguments for the daemon, where containers' users are those of the account
/// `dockremap`: [`FIRST_UID`] and [`FIRST_GID`] of the host are root of containers.
#[track_caller]
pub fn on_remapped_host(arguments: &[&str], test: impl FnOnce(&Host)) {
    let arguments = [&["--userns-remap=default"], arguments].concat();
    on(Host::start(&arguments, add_account), |host| {
        host.docker_with_input("load", &images::busybox_archive()).ok();
        test(host);
    });
}

/// [`on_host`] where plugins can be put into /run/docker/plugins.
#[track_caller]
pub fn on_host_with_plugins(test: impl FnOnce(&Host)) {
    let prepare = |namespaces: &Namespaces, _: &Path| {
        let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/docker/plugins";
        run(namespaces.command("sh").args(["-c", script])).ok();
    };
    on(Host::start(&[], prepare), |host| {
        host.docker_with_input("load", &images::busybox_archive()).ok();
        test(host);
    });
}

/// The user of the host that is root of containers on [`on_remapped_host`].
pub const FIRST_UID: u32 = 3_000_000;
/// Its group.
pub const FIRST_GID: u32 = 4_000_000;

/// Gives the machine accounts of its own, one more of them, and lets others than root pass through
/// the scratch directory.
fn add_account(namespaces: &Namespaces, scratch: &Path) {
    let script = format!(
        "set -e; mkdir \"$1/etc\"; cp -a /etc/. \"$1/etc\"; mount --bind \"$1/etc\" /etc; \
         echo dockremap:x:991:991::/:/bin/false >> /etc/passwd; \
         echo dockremap:x:991: >> /etc/group; \
         echo dockremap:{FIRST_UID}:65536 >> /etc/subuid; \
         echo dockremap:{FIRST_GID}:65536 >> /etc/subgid; chmod 711 \"$1\""
    );
    run(namespaces.command("sh").args(["-c", &script, "sh"]).arg(scratch)).ok();
}

#[track_caller]
fn on(host: Host, test: impl FnOnce(&Host)) {
    match catch_unwind(AssertUnwindSafe(|| test(&host))) {
        Ok(()) => host.finish(),
        Err(failure) => {
            eprintln!("--- the daemon's log ---\n{}", host.daemon_log());
            let places = host.places.clone();
            drop(host); // This ends all processes, so that the cgroups are empty.
            let _ = catch_unwind(|| take_away_cgroups(&places));
            resume_unwind(failure)
        }
    }
}

impl Host {
    /// Makes the namespaces and starts the daemon in them.
    #[track_caller]
    fn start(arguments: &[&str], prepare: impl FnOnce(&Namespaces, &Path)) -> Self {
        let scratch = tempfile::Builder::new().prefix("tare-test-").tempdir();
        let scratch = scratch.expect("make a scratch directory");
        let namespaces = Namespaces::make(scratch.path());
        prepare(&namespaces, scratch.path());
        let places = Places::within(scratch.path());
        let daemon = Daemon::start(&namespaces, &places, arguments);
        let at_first = Footprint::take(&namespaces, &places);
        Self {
            daemon: Mutex::new(Some(daemon)),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            namespaces,
            places,
            scratch,
            at_first,
        }
    }

    /// How a path of this machine is called from outside of it.
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.namespaces.outside_path(path)
    }

    /// Where the daemon keeps its things.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// A directory that is the test's own, the same path inside and outside.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let directory = self.scratch.path().join(name);
        std::fs::create_dir_all(&directory).expect("make a directory for the test");
        directory
    }

    /// A `docker` command as a person types it, to be run in a way of its own.
    fn docker_command(&self, typed: &str) -> Command {
        let mut command = self.namespaces.command_outside_pids("sh");
        command
            .args(["-c", &format!("exec docker {typed}")])
            .env("DOCKER_HOST", format!("unix://{}", self.places.socket.display()))
            .env("DOCKER_CONFIG", self.scratch.path().join("cli"))
            .env("DOCKER_CLI_HINTS", "false");
        command
    }

    /// Runs `docker` with what a person types after it, quotes and all, to its end.
    #[track_caller]
    pub fn docker(&self, typed: &str) -> Ran {
        run(&mut self.docker_command(typed))
    }

    /// Runs `docker` to its end with this as its input.
    #[track_caller]
    pub fn docker_with_input(&self, typed: &str, input: &[u8]) -> Ran {
        run_with_input(&mut self.docker_command(typed), input)
    }

    /// Starts `docker` and lets it run.
    #[track_caller]
    pub fn docker_running(&self, typed: &str) -> Running {
        Running::start(&mut self.docker_command(typed))
    }

    /// Starts `docker` at a terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn docker_at_terminal(&self, typed: &str) -> Terminal {
        Terminal::start(&self.docker_command(typed), 24, 80)
    }

    /// `docker inspect --format`: one value of a container or an image.
    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.docker(&format!("inspect --format '{format}' {name}")).ok().to_owned()
    }

    /// Runs a program on this machine, among its processes and on its network.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        run(self.namespaces.command(program).args(arguments))
    }

    /// Starts a program on this machine's network and lets it run.
    #[track_caller]
    pub fn running(&self, program: &str, arguments: &[&str]) -> Running {
        Running::start(self.namespaces.command_outside_pids(program).args(arguments))
    }

    /// What a web server answers, asked from this machine; empty while it does not.
    pub fn fetch(&self, url: &str) -> String {
        let curl = ["--silent", "--show-error", "--max-time", "5", url];
        let ran = run(self.namespaces.command("curl").args(curl));
        if ran.code == 0 { ran.stdout } else { String::new() }
    }

    /// The API: `GET path`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.places.socket, path).expect("ask the daemon")
    }

    /// The API: `POST path` with a body of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        http::post(&self.places.socket, path, body).expect("ask the daemon")
    }

    /// The API: `PUT path` with an archive.
    #[track_caller]
    pub fn put_archive(&self, path: &str, archive: &[u8]) -> Answer {
        let patience = std::time::Duration::from_secs(60);
        http::send(&self.places.socket, "PUT", path, "application/x-tar", archive, patience)
            .expect("ask the daemon")
    }

    /// The API: `DELETE path`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        http::delete(&self.places.socket, path).expect("ask the daemon")
    }

    /// The first of a container's cgroup directories that has this file, and what is in it.
    #[track_caller]
    pub fn cgroup_file(&self, container: &str, names: &[&str]) -> String {
        let id = self.inspect(container, "{{.Id}}");
        let found = cgroups(&format!("{}/{id}", self.places.cgroup_parent))
            .into_iter()
            .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
            .find_map(|file| std::fs::read_to_string(file).ok());
        found.unwrap_or_else(|| panic!("no cgroup of {container} has any of {names:?}"))
    }

    /// Everything that the daemon has made on this machine.
    pub fn footprint(&self) -> Footprint {
        Footprint::take(&self.namespaces, &self.places)
    }

    /// Requires that there is nothing on the machine which was not there `before`. What ends by
    /// itself is waited for. Not asked of docker's own daemon.
    #[track_caller]
    pub fn leaves_nothing_since(&self, before: &Footprint) {
        if peer::dockerd_root().is_some() {
            return;
        }
        let mut left = self.footprint().since(before);
        let gone = catch_unwind(AssertUnwindSafe(|| {
            until_true("nothing being left", || {
                left = self.footprint().since(before);
                left.is_empty()
            });
        }));
        assert!(gone.is_ok(), "this is left:\n{left}");
    }

    /// Ends the daemon by a signal. What it started goes on.
    #[track_caller]
    pub fn end_daemon(&self, signal: Signal) {
        let daemon = self.daemon.lock().expect("tests have one thread").take();
        daemon.expect("the daemon runs").end(&self.namespaces, signal);
    }

    /// Starts the daemon again, as it was started first.
    #[track_caller]
    pub fn start_daemon(&self) {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        let daemon = Daemon::start(&self.namespaces, &self.places, &arguments);
        *self.daemon.lock().expect("tests have one thread") = Some(daemon);
    }

    /// Has another daemon go on: the one that is there is killed, if it wasn't already.
    #[track_caller]
    pub fn renew_daemon(&self) {
        if let Some(daemon) = self.daemon.lock().expect("tests have one thread").take() {
            daemon.kill(&self.namespaces);
        }
        self.start_daemon();
    }

    /// Starts the daemon, which must refuse to serve; what it says.
    #[track_caller]
    pub fn daemon_refuses(&self) -> String {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        let ran = Daemon::refuses(&self.namespaces, &self.places, &arguments);
        assert_ne!(ran.code, 0, "the daemon serves: {}", ran.stderr);
        ran.stderr
    }

    /// The daemon's process id, as this machine counts.
    #[track_caller]
    pub fn daemon_pid(&self) -> String {
        let daemon = self.daemon.lock().expect("tests have one thread");
        daemon.as_ref().expect("the daemon runs").pid().to_owned()
    }

    /// The daemon's process id, as the test counts.
    #[track_caller]
    pub fn daemon_process(&self) -> i32 {
        let daemon = self.daemon.lock().expect("tests have one thread");
        daemon.as_ref().expect("the daemon runs").process()
    }

    /// Waits for the end of a daemon that was killed.
    #[track_caller]
    pub fn outlive_daemon(&self) {
        let daemon = self.daemon.lock().expect("tests have one thread").take();
        daemon.expect("the daemon ran").wait();
    }

    /// What the daemon has written to its log.
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(&self.places.log).unwrap_or_default()
    }

    /// Removes all containers, volumes, networks and images.
    #[track_caller]
    pub fn remove_everything(&self) {
        for (list, remove) in [
            ("ps -aq", "rm -f"),
            ("volume ls -q", "volume rm"),
            ("network ls -q --filter type=custom", "network rm"),
        ] {
            let ids = self.docker(list);
            let ids: BTreeSet<_> = ids.ok().lines().collect();
            if !ids.is_empty() {
                let ids: Vec<_> = ids.into_iter().collect();
                self.docker(&format!("{remove} {}", ids.join(" "))).ok();
            }
        }
        if peer::dockerd_root().is_none() {
            self.docker("builder prune -af").ok();
        }
        self.docker("image prune -af").ok();
        assert_eq!(self.docker("images -aq").ok(), "");
    }

    /// Cleans up as a user would, and looks that it is clean.
    #[track_caller]
    fn finish(self) {
        if self.daemon.lock().expect("tests have one thread").is_none() {
            self.start_daemon();
        }
        self.remove_everything();
        self.leaves_nothing_since(&self.at_first);
        self.end_daemon(Signal::TERM);
        let places = self.places.clone();
        drop(self);
        take_away_cgroups(&places);
    }
}

/// Removes the cgroups of a machine that is gone, the innermost first. The last processes may be
/// on their way out still.
fn take_away_cgroups(places: &Places) {
    let parents = cgroups(&places.cgroup_parent);
    until_true("the test's cgroups being empty", || {
        parents.iter().for_each(|parent| remove_cgroup(parent));
        parents.iter().all(|parent| !parent.exists())
    });
}

fn remove_cgroup(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_cgroup(&path);
    }
    let _ = std::fs::remove_dir(directory);
}

//! The daemon under test: `tared`, or docker's own where that is asked for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::command::{Ran, run};
use crate::http;
use crate::namespaces::{Namespaces, only_child};
use crate::wait::until;
use crate::{peer, programs};

/// Where one daemon keeps its things.
#[derive(Debug, Clone)]
pub struct Places {
    /// What outlives a reboot.
    pub data_root: PathBuf,
    /// What a reboot may take.
    pub exec_root: PathBuf,
    /// The API's socket.
    pub socket: PathBuf,
    /// The daemon's own log.
    pub log: PathBuf,
    pidfile: PathBuf,
    /// The cgroup above all containers'.
    pub cgroup_parent: String,
}

impl Places {
    /// Places in a scratch directory.
    pub fn within(scratch: &Path) -> Self {
        let name = scratch.file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            data_root: scratch.join("data"),
            exec_root: scratch.join("run"),
            socket: scratch.join("docker.sock"),
            log: scratch.join("daemon.log"),
            pidfile: scratch.join("daemon.pid"),
            cgroup_parent: format!("/{}", name.unwrap_or_default()),
        }
    }

    /// The arguments that tell a daemon of these places; docker's names for them.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            format!("--data-root={}", self.data_root.display()),
            format!("--exec-root={}", self.exec_root.display()),
            format!("--host=unix://{}", self.socket.display()),
            format!("--pidfile={}", self.pidfile.display()),
            format!("--cgroup-parent={}", self.cgroup_parent),
        ]
    }
}

/// A daemon that runs. It is killed when this is dropped; what it started is not.
pub struct Daemon {
    nsenter: Child,
    pid: String,
}

impl Daemon {
    /// Starts one in the namespaces and waits until it answers.
    ///
    /// # Panics
    /// When it ends instead; the text has its log.
    #[track_caller]
    pub fn start(namespaces: &Namespaces, places: &Places, arguments: &[&str]) -> Self {
        let mut command = match peer::dockerd_root() {
            None => {
                let mut command = namespaces.command(programs::directory().join("tared"));
                command.args(places.arguments());
                command
            }
            Some(tree) => {
                let mut command = namespaces.command("unshare");
                command.args(["--mount", "sh", "-c", peer::IN_TREE, "in-tree"]).arg(tree);
                command.arg("dockerd").args(places.arguments());
                command.arg("--userland-proxy=false");
                command
            }
        };
        let log = File::options().create(true).append(true).open(&places.log);
        let log = log.expect("open the daemon's log");
        let mut nsenter = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the daemon's log"))
            .stderr(log)
            .spawn()
            .expect("run nsenter (util-linux)");
        until("the daemon's first answer", || {
            if let Some(status) = nsenter.try_wait().expect("look after a child") {
                let log = std::fs::read_to_string(&places.log).unwrap_or_default();
                panic!("the daemon did not start: {status}\n{log}");
            }
            http::get(&places.socket, "/_ping").ok().filter(|answer| answer.status == 200)
        });
        let pid = std::fs::read_to_string(&places.pidfile).expect("read the daemon's pid file");
        Self { nsenter, pid: pid.trim().to_owned() }
    }

    /// Starts one that is not going to serve, and waits for its end.
    pub fn refuses(namespaces: &Namespaces, places: &Places, arguments: &[&str]) -> Ran {
        let mut command = namespaces.command("timeout");
        command.arg("30").arg(programs::directory().join("tared")).args(places.arguments());
        run(command.args(arguments))
    }

    /// The daemon's process id in the namespaces.
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// The daemon's process id as the test's own machine counts.
    pub fn process(&self) -> i32 {
        only_child(self.nsenter.id()).cast_signed()
    }

    /// Sends it a signal and waits for its end.
    #[track_caller]
    pub fn end(self, namespaces: &Namespaces, signal: Signal) {
        let signal = format!("-{}", signal.as_raw());
        run(namespaces.command("kill").args([&signal, &self.pid])).ok();
        self.wait();
    }

    /// Kills it, unless it has ended already, and waits for its end.
    #[track_caller]
    pub fn kill(self, namespaces: &Namespaces) {
        run(namespaces.command("kill").args(["-KILL", &self.pid]));
        self.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) {
        until("the daemon's end", || self.nsenter.try_wait().expect("look after a child"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.nsenter.kill();
        let _ = self.nsenter.wait();
    }
}

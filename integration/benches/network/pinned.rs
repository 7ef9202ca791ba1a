//! Work in another network namespace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::machine::ok;

/// The address of the host where the other host sees it.
pub(crate) const HOST: &str = "10.60.0.1";

/// Does `work` on a thread that is in the namespace which this file is.
pub(crate) fn inside<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let namespace = File::open(namespace).expect("open a network namespace");
    thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
        work()
    })
}

/// Another host, on a cable to this one; it ends when this is dropped.
pub(crate) struct OtherHost(Child);

impl OtherHost {
    /// Plugs it in.
    pub(crate) fn open() -> OtherHost {
        let script = "echo; exec sleep 100000";
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("run unshare");
        let mut line = [0];
        let ready = child.stdout.as_mut().expect("it is piped");
        std::io::Read::read_exact(ready, &mut line).expect("it is there");
        let other = OtherHost(child);
        let pid = other.0.id().to_string();
        let ip = |words: &str| drop(ok(Command::new("ip").args(words.split_whitespace())));
        ip(&format!("link add cable type veth peer name uplink netns {pid}"));
        ip(&format!("address add {HOST}/24 dev cable"));
        ip("link set cable up");
        let there = |words: &str| {
            let enter = ["--net", "--target", &pid, "ip"];
            ok(Command::new("nsenter").args(enter).args(words.split_whitespace()));
        };
        there("link set lo up");
        there("address add 10.60.0.2/24 dev uplink");
        there("link set uplink up");
        other
    }

    /// Its network namespace.
    pub(crate) fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

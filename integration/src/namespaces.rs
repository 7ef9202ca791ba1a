//! A machine within the machine: a network, mounts and processes of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the namespaces' first process does: brings up the loopback, shows the new network in /sys
/// while it keeps the cgroups there, says that it is ready, and waits for its input to end.
/// Whatever ends the test also ends that input, so nothing in here outlives the test.
const FIRST_PROCESS: &str = r#"
set -e
ip link set lo up
mount -t sysfs sysfs "$1"
mount --rbind /sys/fs/cgroup "$1/fs/cgroup"
mount --move "$1" /sys
echo ready
read -r _ || true
"#;

/// Namespaces that live until this is dropped.
pub struct Namespaces {
    unshare: Child,
    first_process: u32,
}

impl Namespaces {
    /// Makes them; `scratch` is an existing directory to work in for a moment.
    pub fn make(scratch: &Path) -> Self {
        let place = scratch.join("sys");
        std::fs::create_dir(&place).expect("make a directory in the scratch directory");
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation=private"])
            .args(["bash", "-c", FIRST_PROCESS, "first-process"])
            .arg(&place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run unshare (util-linux)");
        let mut line = String::new();
        let output = unshare.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("read what the first process says");
        assert_eq!(line, "ready\n", "the namespaces cannot be made; are you root?");
        std::fs::remove_dir(&place).expect("remove the directory made above");
        let first_process = only_child(unshare.id());
        Self { unshare, first_process }
    }

    /// A command that runs in here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first_process))
            .args(["--net", "--mount", "--pid", "--"])
            .arg(program);
        command
    }

    /// A command in this network and these mounts, but among the test's own processes, so that
    /// signals reach it directly.
    pub fn command_outside_pids(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first_process))
            .args(["--net", "--mount", "--"])
            .arg(program);
        command
    }

    /// How a path in here is called from outside.
    pub fn outside_path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.first_process));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Namespaces {
    /// Ends every process in here; then there is nothing that a command could run in.
    pub fn end(&mut self) {
        // Closing its input ends the first process, and with it the kernel ends all others.
        drop(self.unshare.stdin.take());
        let _ = self.unshare.wait();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.end();
    }
}

/// The one child of a process.
pub(crate) fn only_child(parent: u32) -> u32 {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).expect("read a process's children");
    children.trim().parse().expect("it has one child")
}

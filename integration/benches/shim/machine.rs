//! Namespaces that the bench runs in, and with which all that it has started ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use tare_integration::footprint::cgroups;
use tare_integration::images;

use crate::account::Account;
use crate::common::Common;
use crate::tree;

/// Says, in the environment, that this process is inside already, and where its scratch directory is.
const INSIDE: &str = "TARE_BENCH_SCRATCH";

/// The programs under test.
const PROGRAMS: [&str; 4] = ["containerd-shim-tare-v2", "tare", "tare-init", "tared"];

/// What the namespaces' first process does: it shows their own network in /sys, runs the bench, and
/// takes leave of all that is left to it (as it does not become the bench, but waits for it).
const FIRST_PROCESS: &str = r#"
set -e
ip link set lo up
mount -t sysfs sysfs "$1"
mount --rbind /sys/fs/cgroup "$1/fs/cgroup"
mount --move "$1" /sys
shift
"$@"
exit $?
"#;

/// The machine within the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    scratch: PathBuf,
    /// The name of our cgroup, below the root of each hierarchy; containers go below it.
    pub(crate) cgroup: String,
    /// What it has used.
    pub(crate) account: Account,
}

/// The scratch directory, if this process is inside already.
pub(crate) fn scratch() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// Where this process is inside, gives that machine. Outside, has the bench run inside, cleans up
/// after it, and gives nothing.
pub(crate) fn inside(common: &Common) -> Option<Machine> {
    if let Some(scratch) = scratch() {
        tree::enter(Some(&common.tree()), &scratch);
        mount_run();
        let cgroup = name_of(&scratch);
        let account = Account::open(&cgroup);
        return Some(Machine { scratch, cgroup, account });
    }
    assert!(rustix::process::geteuid().is_root(), "the bench needs root: it makes containers");
    let scratch = tempfile::Builder::new().prefix("tare-bench-").tempdir_in(&common.scratch);
    let scratch = scratch.expect("make the scratch directory");
    fill(scratch.path(), common);
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["bash", "-c", FIRST_PROCESS, "first-process"])
        .arg(scratch.path().join("sys"))
        .arg(std::env::current_exe().expect("find this bench's own program"))
        .args(std::env::args_os().skip(1))
        .env(INSIDE, scratch.path())
        .status()
        .expect("run unshare (util-linux)");
    cgroups(&name_of(scratch.path())).iter().for_each(|cgroup| remove_cgroup(cgroup));
    assert!(status.success(), "the bench failed: {status}");
    None
}

/// Our cgroup's name tells where it comes from.
fn name_of(scratch: &Path) -> String {
    format!("/{}", scratch.file_name().expect("it has a name").to_string_lossy())
}

/// Puts what is needed where it is seen in the peers' tree too.
fn fill(scratch: &Path, common: &Common) {
    for directory in ["sys", "programs", "rootfs/bin", "rootfs/proc", "rootfs/sys", "rootfs/dev"] {
        std::fs::create_dir_all(scratch.join(directory)).expect("make a directory");
    }
    for program in PROGRAMS {
        let from = common.programs().join(program);
        std::fs::copy(&from, scratch.join("programs").join(program))
            .unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
    }
    std::fs::copy("/bin/busybox", scratch.join("rootfs/bin/busybox"))
        .expect("copy /bin/busybox (Debian: busybox-static)");
    for name in ["sleep", "true"] {
        let link = scratch.join("rootfs/bin").join(name);
        std::os::unix::fs::symlink("busybox", link).expect("make a link");
    }
    std::fs::write(scratch.join("busybox.tar"), images::busybox_archive()).expect("write an image");
}

/// The daemons' sockets and states are not this machine's.
fn mount_run() {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]).status();
    assert!(mounted.is_ok_and(|status| status.success()), "mount a /run of our own");
}

/// Removes a cgroup with those below it, whose processes have all ended.
fn remove_cgroup(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_cgroup(&path);
    }
    let _ = std::fs::remove_dir(directory);
}

impl Machine {
    /// A path in the scratch directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A new directory there.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("make a directory");
        path
    }

    /// One of the programs under test.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.path("programs").join(name)
    }
}

/// Runs a command, which must succeed; returns what it printed.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

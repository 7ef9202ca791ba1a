//! Running the tests against docker's own daemon, to see that what they expect is what docker does.
//!
//! `TARE_TEST_DOCKERD_ROOT=/a/debian/tree cargo nextest run -p tare-integration` starts the
//! `dockerd` and `containerd` of that file tree (Debian's packages `docker.io` and `containerd`)
//! instead of `tared`, in the same namespaces. Tests of what only `tared` has are passed over, and
//! nothing is asked of what dockerd leaves behind.

use std::path::PathBuf;

/// The file tree with dockerd in it, if that is what is to be tested.
pub fn dockerd_root() -> Option<PathBuf> {
    std::env::var_os("TARE_TEST_DOCKERD_ROOT").map(PathBuf::from)
}

/// Whether the daemon under test is `tared`. Where it is not, says so, for the one who reads why a
/// test took no time.
pub fn is_tared(what: &str) -> bool {
    let tared = dockerd_root().is_none();
    if !tared {
        eprintln!("passed over, only tared has it: {what}");
    }
    tared
}

/// Runs `dockerd` in its own file tree, which sees this machine's /proc, /sys, /dev, /run and /tmp.
/// Arguments: the tree, then the command.
pub(crate) const IN_TREE: &str = r#"
set -e
tree=$1; shift
mount --bind "$tree" "$tree"
for directory in proc sys dev run tmp; do mount --rbind "/$directory" "$tree/$directory"; done
mount -t tmpfs tmpfs "$tree/run"
cd "$tree"
pivot_root . oldroot
umount -l /oldroot
exec "$@"
"#;

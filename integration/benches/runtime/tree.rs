//! The file tree that all contenders run in.
//!
//! A contender that is linked dynamically may come from another distribution than this machine's,
//! and needs its own libraries. Going there is no part of what is measured, so the bench itself
//! goes, once, in a mount namespace of its own; its children are there from the start.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// What the tree shows of this machine.
const SHARED: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];
const NONE: Option<&str> = None;

/// Gives this process mounts of its own, and makes `tree` its root if there is one.
pub(crate) fn enter(tree: Option<&Path>, scratch: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare the mounts");
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("separate them");
    if let Some(tree) = tree {
        let shared = SHARED.iter().any(|name| scratch.starts_with(Path::new("/").join(name)));
        assert!(shared, "with --tree, --scratch has to be below /tmp, /run or /dev");
        let bind = |from: &Path, to: &Path| {
            mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
                .unwrap_or_else(|errno| panic!("bind {}: {errno}", to.display()));
        };
        bind(tree, tree);
        for name in SHARED {
            bind(&Path::new("/").join(name), &tree.join(name));
        }
        std::env::set_current_dir(tree).expect("enter the tree");
        nix::unistd::pivot_root(".", ".").expect("pivot to the tree");
        umount2(".", MntFlags::MNT_DETACH).expect("leave the old root");
    }
    std::env::set_current_dir("/").expect("enter the root");
    hide_v2_controllers(scratch);
}

/// Where v1 and v2 are side by side, crun refuses to run if any controller is on v2. In here the list
/// of those is empty, for all contenders alike; nothing that is run asks for one of them.
fn hide_v2_controllers(scratch: &Path) {
    let list = Path::new("/sys/fs/cgroup/unified/cgroup.controllers");
    if list.exists() {
        let empty = scratch.join("empty");
        std::fs::write(&empty, "").expect("make an empty file");
        mount(Some(&empty), list, NONE, MsFlags::MS_BIND, NONE).expect("hide the list");
    }
}

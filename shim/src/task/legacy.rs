//! Options as containerd 1.x writes them, in the words of today's.

use tare_proto::containerd::linux::runc as legacy;
use tare_proto::containerd::runc::v1::{CheckpointOptions, Options};

use crate::error::{Error, Result};

/// For Create. What is said there of connections, sockets, terminals and locks only allows them to
/// be restored, as they always are.
pub(super) fn create_options(options: legacy::CreateOptions) -> Result<Options> {
    let refused = |name: &str| Err(Error::unimplemented(format!("the option {name} of Create")));
    if !options.empty_namespaces.is_empty() {
        return refused("empty_namespaces");
    }
    if !options.cgroups_mode.is_empty() {
        return refused("cgroups_mode");
    }
    Ok(Options {
        no_pivot_root: options.no_pivot_root,
        no_new_keyring: options.no_new_keyring,
        shim_cgroup: options.shim_cgroup,
        io_uid: options.io_uid,
        io_gid: options.io_gid,
        criu_image_path: options.criu_image_path,
        criu_work_path: options.criu_work_path,
        ..Options::default()
    })
}

/// For Checkpoint.
pub(super) fn checkpoint_options(options: legacy::CheckpointOptions) -> CheckpointOptions {
    CheckpointOptions {
        exit: options.exit,
        open_tcp: options.open_tcp,
        external_unix_sockets: options.external_unix_sockets,
        terminal: options.terminal,
        file_locks: options.file_locks,
        empty_namespaces: options.empty_namespaces,
        cgroups_mode: options.cgroups_mode,
        image_path: options.image_path,
        work_path: options.work_path,
        parent_path: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_served_is_named() {
        let known = legacy::CreateOptions { io_uid: 7, open_tcp: true, ..Default::default() };
        assert_eq!(create_options(known.clone()).unwrap().io_uid, 7);
        let modes = legacy::CreateOptions { cgroups_mode: "full".into(), ..known };
        assert!(create_options(modes).unwrap_err().to_string().contains("cgroups_mode"));
    }
}

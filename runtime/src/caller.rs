//! Who runs this program: root of the host, root of a user namespace, or a plain user.
//!
//! A plain user makes containers in user namespaces of their own; root of a user namespace, as
//! rootless engines start this program, may do in it what root may, but makes no device files and
//! owns no cgroup that was not handed to it.

use std::path::PathBuf;
use std::sync::OnceLock;

/// Whether this process has user id 0, on the host or in a user namespace.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process is in another user namespace than the host's first.
pub(crate) fn is_in_user_namespace() -> bool {
    /// The number that the first user namespace has on every host.
    const FIRST: u64 = 0xEFFF_FFFD;
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino != FIRST)
    })
}

/// Whether this process may lack the right to make cgroups.
pub(crate) fn is_rootless() -> bool {
    !is_root() || is_in_user_namespace()
}

/// The directory of this user's own that is emptied when they leave, if it is theirs to use.
///
/// Root of the host keeps its containers in one place whatever the environment says. Root of a user
/// namespace is some other user, unless the environment claims that it is not.
pub(crate) fn runtime_directory() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty())?;
    let claims_root = || std::env::var_os("USER").is_some_and(|name| name == "root");
    let is_own = !is_root() || (is_in_user_namespace() && !claims_root());
    is_own.then(|| PathBuf::from(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_a_user_namespace_tells_it_too() {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let whole: Vec<_> = map.split_whitespace().collect();
        if whole != ["0", "0", "4294967295"] {
            assert!(is_in_user_namespace());
        }
        assert_eq!(is_rootless(), !is_root() || is_in_user_namespace());
    }
}

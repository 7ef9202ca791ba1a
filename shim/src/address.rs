//! Where a shim's socket is.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::args::Flags;
use crate::error::{Context, Result};

/// The directory of all sockets, where `$TARE_SOCKET_DIR` doesn't name another.
const DEFAULT_DIRECTORY: &str = "/run/tare/s";
/// Bytes of the name's hash: enough that no two are ever the same.
const NAME_BYTES: usize = 16;

/// The socket of the shim of `group` (a container, or a pod's first one) under the manager and
/// namespace that `flags` name. It has a file name, so that no container can reach it through a
/// shared network namespace; a short one, as a socket's name has 107 bytes at most.
pub(crate) fn socket_path(flags: &Flags, group: &str) -> PathBuf {
    let directory = std::env::var_os("TARE_SOCKET_DIR").map(PathBuf::from);
    let mut hash = Sha256::new();
    for part in [&flags.address, &flags.namespace, group] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let name: String = digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
    directory.unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY)).join(name)
}

/// Makes the directory that the socket is in. Its content can't be listed by others.
pub(crate) fn make_directory(socket: &Path) -> Result<()> {
    let Some(directory) = socket.parent() else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(directory)
        .context(|| format!("make the directory {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_each_container_has_its_own() {
        let flags = |namespace: &str| Flags { namespace: namespace.into(), ..Flags::default() };
        let one = socket_path(&flags("a"), "bc");
        assert_ne!(one, socket_path(&flags("ab"), "c"));
        assert_eq!(one, socket_path(&flags("a"), "bc"));
        assert_eq!(one.file_name().map(|name| name.len()), Some(2 * NAME_BYTES));
    }
}

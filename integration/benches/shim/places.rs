//! Where a bench finds what it measures.

use std::path::{Path, PathBuf};

/// The tree that the peers are in: the one named by `--tree`, or by `BENCH_TREE`.
pub(crate) fn tree(given: Option<&Path>) -> PathBuf {
    let tree =
        given.map(Path::to_owned).or_else(|| std::env::var_os("BENCH_TREE").map(PathBuf::from));
    tree.expect("name the file tree that the peers are in: --tree DIR")
}

/// The programs that were built with this bench: it is target/.../PROFILE/deps/NAME-HASH, and they
/// are in PROFILE.
pub(crate) fn programs() -> PathBuf {
    built(2)
}

/// The directory so far above this bench's own program.
pub(crate) fn built(above: usize) -> PathBuf {
    let bench = std::env::current_exe().expect("find this bench's own program");
    bench.ancestors().nth(above).map(Path::to_owned).expect("it is built by cargo")
}

//! Where the built programs are.

use std::path::PathBuf;

/// The directory that has `tared`, `tare` and the shim, built by `cargo build --workspace` with the
/// profile that this test was built with.
pub fn directory() -> PathBuf {
    // A test is target/.../PROFILE/deps/NAME-HASH; the programs are in PROFILE.
    let test = std::env::current_exe().expect("find this test's own program");
    let profile = test.ancestors().nth(2).expect("it is two directories down");
    assert!(
        profile.join("tared").exists(),
        "there is no tared in {}: run `cargo build --workspace` first",
        profile.display()
    );
    profile.to_owned()
}

/// The directory for what is made once and used by many tests; it outlives them.
pub fn cache() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-images");
    std::fs::create_dir_all(&tests).expect("make the directory for test images");
    tests
}

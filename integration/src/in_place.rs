//! Files of a test's in the places of the host's, for nobody else to see.

use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::programs;

/// A file of the test's in the place of one of the host's, for as long as this is there.
pub struct InPlace<'a> {
    host: &'a Host,
    file: PathBuf,
    place: String,
}

impl<'a> InPlace<'a> {
    /// Puts it there.
    #[track_caller]
    pub fn of(host: &'a Host, file: PathBuf, place: &str) -> Self {
        host.run("mount", &["--bind", &file.display().to_string(), place]).ok();
        Self { host, file, place: place.to_owned() }
    }

    /// Puts a copy of one of our programs in its place, as an upgrade does.
    #[track_caller]
    pub fn copy_of(host: &'a Host, name: &str) -> Self {
        let program = programs::directory().join(name);
        let copy = host.scratch("upgrade").join(name);
        std::fs::copy(&program, &copy).expect("copy the program");
        Self::of(host, copy, program.to_str().expect("text"))
    }

    /// The file as the test finds it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Changes what is in it.
    #[track_caller]
    pub fn write(&self, text: &str) {
        std::fs::write(&self.file, text).expect("write a file");
    }
}

impl Drop for InPlace<'_> {
    fn drop(&mut self) {
        // It may be in use for a moment yet.
        self.host.run("umount", &["--lazy", &self.place]);
    }
}

//! A container that says what it has done, so that what is told of it can be compared.

use std::fs;
use std::path::PathBuf;

use tare_integration::Host;
use tare_integration::wait::until_true;

/// Numbers its lines, and keeps count of those it has got rid of, until it is told to end.
const SCRIPT: &str = "i=0; while [ ! -e /s/end ]; do i=$((i+1)); echo line $i || exit 9; \
                      echo $i > /s/count; usleep 5000; done; exit 7";

/// The code it ends with when it is told to.
pub(crate) const CODE: i64 = 7;

/// What the container and the test know of each other.
pub(crate) struct Witness {
    directory: PathBuf,
}

impl Witness {
    /// For containers that are to come.
    pub(crate) fn new(host: &Host) -> Self {
        Self { directory: host.scratch("shared") }
    }

    /// The body that creates such a container.
    pub(crate) fn body(&self) -> String {
        serde_json::json!({
            "Image": "busybox:latest",
            "Cmd": ["sh", "-c", SCRIPT],
            "HostConfig": {
                "Binds": [format!("{}:/s", self.directory.display())],
                "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] },
            },
        })
        .to_string()
    }

    /// Forgets earlier containers.
    pub(crate) fn forget(&self) {
        for entry in fs::read_dir(&self.directory).expect("read the shared directory").flatten() {
            fs::remove_file(entry.path()).expect("remove a shared file");
        }
    }

    /// Tells the container to end.
    pub(crate) fn tell_to_end(&self) {
        fs::write(self.directory.join("end"), "").expect("write a shared file");
    }

    /// Takes that back.
    pub(crate) fn let_run(&self) {
        let _ = fs::remove_file(self.directory.join("end"));
        let _ = fs::remove_file(self.directory.join("count"));
    }

    /// How many lines it has got rid of.
    pub(crate) fn count(&self) -> usize {
        let text = fs::read_to_string(self.directory.join("count")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until it writes.
    pub(crate) fn writes_on(&self, what: &str) {
        let before = self.count();
        until_true(&format!("{what}: the container going on"), || self.count() > before);
    }
}

/// Requires that no line of a log is there twice, or cut off.
#[track_caller]
pub(crate) fn assert_in_order(log: &str, what: &str) {
    let numbers: Vec<Option<usize>> =
        log.lines().map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    assert!(numbers.iter().all(Option::is_some), "{what}: {log}");
    assert!(numbers.is_sorted_by(|one, next| one < next), "{what}: the log's order: {numbers:?}");
}

/// Requires that a log has the lines from 1 on, each once and in order, and at least `count`.
#[track_caller]
pub(crate) fn assert_whole(log: &str, count: usize, what: &str) {
    for (number, line) in log.lines().enumerate() {
        assert_eq!(line, format!("line {}", number + 1), "{what}: the log's order");
    }
    let lines = log.lines().count();
    assert!(log.is_empty() || log.ends_with('\n'), "{what}: the log's last line is cut off");
    assert!(lines >= count, "{what}: {} lines are lost of {count}", count - lines);
}

//! A container in a temporary directory, under a shim of its own, driven as `tared` drives it.

// Each test program uses a part of this.
#![allow(dead_code, missing_docs)]

pub(crate) mod bundle;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod left;
pub(crate) mod supervision;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The program under test.
pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-tare-v2");

/// The OCI runtime that the containers are made with: `$TARE_TEST_RUNTIME`, or the `tare` that was
/// built beside the shim.
pub(crate) fn runtime() -> PathBuf {
    let built = Path::new(SHIM).with_file_name("tare");
    let runtime = std::env::var_os("TARE_TEST_RUNTIME").map_or(built, PathBuf::from);
    assert!(runtime.exists(), "{} is missing: cargo build -p tare", runtime.display());
    runtime
}

/// A temporary directory with all that one shim needs.
pub(crate) struct Home {
    directory: TempDir,
    sockets: PathBuf,
    /// Where events go.
    pub(crate) events: Option<PathBuf>,
    pub(crate) id: String,
}

impl Home {
    /// For a container whose id nobody else uses.
    pub(crate) fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("shim").tempdir().unwrap();
        let id = format!("shim-test-{name}-{}", std::process::id());
        for part in ["bundle/rootfs", "state", "root"] {
            std::fs::create_dir_all(directory.path().join(part)).unwrap();
        }
        let sockets = directory.path().join("s");
        Home { directory, sockets, events: None, id }
    }

    /// For another container, in the pod of this one.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Home { sockets: self.sockets.clone(), ..Home::new(name) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    /// The shim's command line, up to the action.
    pub(crate) fn shim(&self) -> Command {
        let mut command = Command::new(SHIM);
        let events = self.events.as_deref().unwrap_or(Path::new(""));
        command
            .args(["-namespace", "test", "-publish-binary", "", "-id", &self.id])
            .arg("-address")
            .arg(events)
            .current_dir(self.bundle())
            .env("TARE_SOCKET_DIR", &self.sockets)
            .stdin(Stdio::null());
        command
    }

    /// Calls `start`, and returns the path of the server's socket.
    pub(crate) fn start(&self) -> PathBuf {
        Self::start_by(&mut self.shim())
    }

    /// The same, as somebody calls it who ignores these signals.
    pub(crate) fn start_ignoring(&self, signals: &str) -> PathBuf {
        let shim = self.shim();
        let mut command = Command::new("env");
        command.arg(format!("--ignore-signal={signals}")).arg(shim.get_program());
        command.args(shim.get_args()).current_dir(self.bundle()).stdin(Stdio::null());
        command.envs(shim.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::start_by(&mut command)
    }

    fn start_by(shim: &mut Command) -> PathBuf {
        let output = shim.arg("start").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&printed["version"], &printed["protocol"]), (&3.into(), &"grpc".into()));
        PathBuf::from(printed["address"].as_str().unwrap())
    }

    pub(crate) fn record(&self) -> tare_proto::record::TaskRecord {
        let path = self.path("state").join(tare_proto::record::FILE_NAME);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("container.log")).unwrap()
    }
}

//! A shim that is called as containerd calls it, without containerd.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::bundle;
use crate::containerd::{ADDRESS, TTRPC_ADDRESS};
use crate::machine::{Machine, ok};
use crate::ttrpc::{Client, message};

/// The type of an exec's description.
const PROCESS: &[u8] = b"types.containerd.io/opencontainers/runtime-spec/1/Process";

/// A shim that runs.
#[derive(Debug)]
pub(crate) struct Shim {
    id: String,
    bundle: PathBuf,
    client: Client,
    execs: u32,
    /// Where it would say what goes wrong.
    _log: File,
}

impl Shim {
    /// Starts one, and waits until it answers.
    pub(crate) fn start(program: &Path, bundle: &Path, id: &str) -> Shim {
        let log = open_log(bundle);
        let mut command = Command::new(program);
        command
            .args(["-namespace", "bench", "-address", ADDRESS, "-publish-binary", "containerd"])
            .args(["-id", id, "start"])
            .env("TTRPC_ADDRESS", TTRPC_ADDRESS)
            .env("MAX_SHIM_VERSION", "3")
            .current_dir(bundle)
            .stdin(Stdio::null());
        let answer = ok(&mut command);
        let parameters: Value = serde_json::from_str(&answer).expect("it says where it is");
        let address = parameters["address"].as_str().expect("it has an address");
        let client = Client::connect(Path::new(address.trim_start_matches("unix://")));
        let (id, bundle) = (id.to_owned(), bundle.to_owned());
        let mut shim = Shim { id, bundle, client, execs: 0, _log: log };
        shim.call("Connect", &[]);
        shim
    }

    /// Makes and starts the bundle's container.
    pub(crate) fn run(&mut self) {
        let bundle = self.bundle.display().to_string();
        self.call("Create", &[(2, bundle.as_bytes())]);
        self.call("Start", &[]);
    }

    /// Runs `true` in the container, from its description until it is forgotten.
    pub(crate) fn exec(&mut self) {
        self.execs += 1;
        let exec = format!("e{}", self.execs);
        let process = bundle::process(&self.bundle, &["/bin/true"]);
        let spec = message(&[(1, PROCESS), (2, &process)]);
        self.call("Exec", &[(2, exec.as_bytes()), (7, &spec)]);
        for method in ["Start", "Wait", "Delete"] {
            self.call(method, &[(2, exec.as_bytes())]);
        }
    }

    /// Ends the container, if there is one, and the shim.
    pub(crate) fn end(mut self, runs: bool) {
        if runs {
            let kill = [message(&[(1, self.id.as_bytes())]), vec![0x18, 9]].concat();
            self.client.call("Kill", &kill);
            self.call("Wait", &[]);
            self.call("Delete", &[]);
        }
        let shutdown = message(&[(1, self.id.as_bytes())]);
        self.client.call_last("Shutdown", &shutdown);
    }

    /// Calls a method whose argument begins with the container's id.
    fn call(&mut self, method: &str, fields: &[(u8, &[u8])]) {
        let id = [(1, self.id.as_bytes())];
        self.client.call(method, &message(&[id.as_slice(), fields].concat()));
    }
}

/// The fifo that containerd makes for a shim's log, open for reading so that the shim can write.
fn open_log(bundle: &Path) -> File {
    let path = bundle.join("log");
    if !path.exists() {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("make a fifo");
    }
    File::options().read(true).write(true).open(&path).expect("open a fifo")
}

/// The two shims: ours, and containerd's for runc.
pub(crate) fn programs(machine: &Machine) -> [(&'static str, PathBuf); 2] {
    let ours = machine.program("containerd-shim-tare-v2");
    [("tare", ours), ("runc-v2", PathBuf::from("containerd-shim-runc-v2"))]
}

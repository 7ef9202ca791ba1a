//! A stock containerd.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use tare_integration::wait::until;

use crate::machine::Machine;

/// Where it listens.
pub(crate) const ADDRESS: &str = "/run/containerd/containerd.sock";
/// Where it listens for shims' events.
pub(crate) const TTRPC_ADDRESS: &str = "/run/containerd/containerd.sock.ttrpc";

/// One that runs; it is killed when this is dropped, what it started is not.
pub(crate) struct Containerd(Child);

impl Containerd {
    /// Starts it, without what serves Kubernetes alone, and waits until it answers.
    pub(crate) fn start(machine: &Machine) -> Containerd {
        let root = machine.directory("containerd");
        let config = root.join("config.toml");
        let text = format!(
            "version = 3\nroot = \"{}\"\nstate = \"/run/containerd/state\"\n\
             disabled_plugins = [\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \
             \"io.containerd.grpc.v1.cri\"]\n",
            root.display()
        );
        std::fs::write(&config, text).expect("write containerd's configuration");
        std::fs::create_dir_all("/run/containerd").expect("make a directory");
        let log = File::create(root.join("log")).expect("make containerd's log");
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("run containerd");
        until("containerd to listen", || UnixStream::connect(TTRPC_ADDRESS).ok());
        Containerd(child)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // dockerd takes a socket that is there for a containerd that serves.
        let _ = std::fs::remove_file(ADDRESS);
    }
}

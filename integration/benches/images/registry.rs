//! Debian's registry, on the loopback, with the images.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tare_integration::wait::until;

use crate::machine::Machine;

/// Where it listens.
pub(crate) const ADDRESS: &str = "127.0.0.1:5000";
/// The program.
pub(crate) const PROGRAM: &str = "docker-registry";

/// A registry that runs; it is killed when this is dropped.
pub(crate) struct Registry(Child);

impl Registry {
    /// Starts it, with what is in `data`.
    pub(crate) fn start(machine: &Machine, data: &Path) -> Registry {
        let home = machine.directory("registry");
        let config = home.join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  \
             filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {ADDRESS}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("write the registry's configuration");
        let log = File::create(home.join("log")).expect("make the registry's log");
        let mut child = Command::new(machine.program(PROGRAM))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("run docker-registry");
        until("the registry's port", || {
            assert!(child.try_wait().expect("look after a child").is_none(), "the registry ended");
            TcpStream::connect(ADDRESS).ok()
        });
        Registry(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The manifest of an image, as JSON.
pub(crate) fn manifest(name: &str) -> serde_json::Value {
    let mut connection = TcpStream::connect(ADDRESS).expect("connect to the registry");
    write!(
        connection,
        "GET /v2/{name}/manifests/latest HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
    )
    .expect("ask the registry");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("read the registry's answer");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}"))
}

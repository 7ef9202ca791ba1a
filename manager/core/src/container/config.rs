//! What runs in a container: the part of a container's settings that an image can give too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ports::Port;
use crate::image::Healthcheck;

/// The portable settings of a container, by docker's `Config`. An empty string or collection means
/// "not said"; what the image says is merged in at create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// The host name inside; empty: the first twelve digits of the id.
    pub hostname: String,
    /// The NIS domain name inside.
    pub domainname: String,
    /// `user[:group]` by name or number; empty: root.
    pub user: String,
    /// The client that creates it will attach to stdin.
    pub attach_stdin: bool,
    /// The client that creates it will attach to stdout.
    pub attach_stdout: bool,
    /// The client that creates it will attach to stderr.
    pub attach_stderr: bool,
    /// Ports that the program listens on.
    pub exposed_ports: BTreeSet<Port>,
    /// Run the program on a terminal.
    pub tty: bool,
    /// Keep stdin open for clients that attach.
    pub open_stdin: bool,
    /// End stdin when the first client that attached to it has gone.
    pub stdin_once: bool,
    /// `NAME=value`; a bare `NAME` takes the variable out of what the image gives.
    pub env: Vec<String>,
    /// Arguments of the entrypoint, or the command itself. `None`: the image's.
    pub cmd: Option<Vec<String>>,
    /// The program and its first arguments. `None`: the image's; `Some([""])` and `Some([])`: none.
    pub entrypoint: Option<Vec<String>>,
    /// The command is escaped as Windows wants it; kept for `inspect`.
    pub args_escaped: bool,
    /// The image as its user named it.
    pub image: String,
    /// Paths that are volumes of their own.
    pub volumes: BTreeSet<String>,
    /// The working directory inside; empty: `/`.
    pub working_dir: String,
    /// Give it no network.
    pub network_disabled: bool,
    /// Build triggers, kept for `inspect`.
    pub on_build: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal that `stop` sends, by name or number; `None`: SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds that `stop` waits before it kills, -1 for ever; `None`: the manager's default.
    pub stop_timeout: Option<i64>,
    /// How to find out whether it is well; `None`: as the image says.
    pub healthcheck: Option<Healthcheck>,
    /// The shell of shell-form health checks; `None`: `/bin/sh -c`.
    pub shell: Option<Vec<String>>,
}

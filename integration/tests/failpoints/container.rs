//! The container as the daemon says that it is.

use std::fs;

use serde_json::Value;
use tare_integration::Host;
use tare_integration::http;

/// Where it is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no such container.
    Absent,
    /// It has never run.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited {
        /// With this code.
        code: i64,
        /// What the daemon says went wrong.
        error: String,
    },
    /// Anything else that the daemon says.
    Other(String),
}

/// What the daemon knows of the container.
pub(crate) fn inspect(host: &Host) -> Option<Value> {
    let answer = http::get(&host.places().socket, "/containers/web/json").expect("ask the daemon");
    (answer.status == 200).then(|| answer.json())
}

/// Its state.
pub(crate) fn state(host: &Host) -> State {
    let Some(container) = inspect(host) else { return State::Absent };
    let state = &container["State"];
    match state["Status"].as_str().unwrap_or_default() {
        "created" => State::Created,
        "running" => State::Running,
        "exited" => State::Exited {
            code: state["ExitCode"].as_i64().unwrap_or(-1),
            error: state["Error"].as_str().unwrap_or_default().to_owned(),
        },
        other => State::Other(other.to_owned()),
    }
}

/// Its shim's processes, as the test counts them.
pub(crate) fn shims(host: &Host) -> Vec<i32> {
    let Some(id) = inspect(host).and_then(|it| it["Id"].as_str().map(str::to_owned)) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments);
            let program = arguments.split('\0').next().unwrap_or_default();
            // A call that cleans up after one is none.
            let serves = arguments.trim_end_matches('\0').ends_with("\0start");
            program.ends_with("containerd-shim-tare-v2") && serves && arguments.contains(&id)
        })
        .collect()
}

//! Calls of docker's API, without a command line.

use std::io::Result;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tare_integration::http::{self, Answer};

use crate::engine::{Engine, IMAGE};

/// A container of the image with this program; gives its id.
pub(crate) fn create(engine: &Engine, program: &[&str], host: &Value) -> String {
    let body = json!({ "Image": IMAGE, "Cmd": program, "HostConfig": host });
    id_of(http::post(&engine.socket(), "/containers/create", &body.to_string()))
}

/// Starts a container.
pub(crate) fn start(engine: &Engine, id: &str) {
    expect(http::post(&engine.socket(), &format!("/containers/{id}/start"), ""), 204);
}

/// Removes a container, whatever it does.
pub(crate) fn remove(engine: &Engine, id: &str) {
    expect(http::delete(&engine.socket(), &format!("/containers/{id}?force=1")), 204);
}

/// Runs a container that removes itself, and waits until it has, as the command line does.
pub(crate) fn run_and_remove(engine: &Engine, host: &Value) {
    let id = create(engine, &["true"], host);
    std::thread::scope(|scope| {
        let wait = format!("/containers/{id}/wait?condition=removed");
        let removed = http::begin_post(&engine.socket(), &wait).expect("ask the daemon");
        let removed = scope.spawn(move || expect(removed.answer(), 200));
        start(engine, &id);
        removed.join().expect("it is removed");
    });
}

/// Runs a program in a container, reads what it says, and asks how it ended.
pub(crate) fn exec(engine: &Engine, id: &str, program: &[&str]) {
    let socket = engine.socket();
    let body = json!({ "Cmd": program, "AttachStdout": true, "AttachStderr": true });
    let exec = id_of(http::post(&socket, &format!("/containers/{id}/exec"), &body.to_string()));
    expect(http::post(&socket, &format!("/exec/{exec}/start"), "{}"), 200);
    let ended = get(engine, &format!("/exec/{exec}/json")).json();
    assert_eq!(ended["ExitCode"], 0, "{ended}");
}

/// Asks.
pub(crate) fn get(engine: &Engine, path: &str) -> Answer {
    expect(http::get(&engine.socket(), path), 200)
}

/// Asks; gives how long that took, and what came back.
pub(crate) fn timed(socket: &Path, path: &str) -> (Duration, Answer) {
    let begun = Instant::now();
    let answer = http::get(socket, path);
    (begun.elapsed(), expect(answer, 200))
}

fn id_of(answer: Result<Answer>) -> String {
    expect(answer, 201).json()["Id"].as_str().map(str::to_owned).expect("it has an id")
}

fn expect(answer: Result<Answer>, status: u16) -> Answer {
    let answer = answer.expect("ask the daemon");
    assert_eq!(answer.status, status, "{}{}", answer.head, answer.body);
    answer
}

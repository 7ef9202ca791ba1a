//! What the guest asks of `tared`.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tare_integration::http::{self, Answer};

/// Where `tared` listens in the guest.
pub(crate) const SOCKET: &str = "/run/tare.sock";
/// A guest without KVM beside others is slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// A request that did not do what it should.
pub(crate) type Wrong = String;

/// Sends a request; any answer will do.
pub(crate) fn send(method: &str, path: &str, kind: &str, body: &[u8]) -> io::Result<Answer> {
    http::send(Path::new(SOCKET), method, path, kind, body, PATIENCE)
}

/// Sends a request that must succeed.
pub(crate) fn ask(method: &str, path: &str, body: &Value) -> Result<Answer, Wrong> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    succeeds(method, path, "application/json", body.as_bytes())
}

/// The same with a body of any kind.
pub(crate) fn succeeds(method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer, Wrong> {
    let answer =
        send(method, path, kind, body).map_err(|error| format!("{method} {path}: {error}"))?;
    // What fails on the way is told in the stream.
    let failed = answer.body.contains("\"errorDetail\"");
    if !(200..400).contains(&answer.status) || failed {
        return Err(format!("{method} {path}: {} {}", answer.status, answer.message()));
    }
    Ok(answer)
}

/// `GET`, as JSON.
pub(crate) fn get(path: &str) -> Result<Value, Wrong> {
    ask("GET", path, &Value::Null).map(|answer| answer.json())
}

/// Pulls an image; its id.
pub(crate) fn pull(name: &str) -> Result<String, Wrong> {
    let (repository, tag) = name.rsplit_once(':').ok_or("a name without a tag")?;
    ask("POST", &format!("/images/create?fromImage={repository}&tag={tag}"), &Value::Null)?;
    id_of(name)
}

/// The id of an image.
pub(crate) fn id_of(name: &str) -> Result<String, Wrong> {
    Ok(text(&get(&format!("/images/{name}/json"))?["Id"]))
}

/// Makes a container; its id.
pub(crate) fn create(name: &str, image: &str) -> Result<String, Wrong> {
    let answer =
        ask("POST", &format!("/containers/create?name={name}"), &json!({ "Image": image }))?;
    Ok(text(&answer.json()["Id"]))
}

/// A string in JSON, or nothing.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The elements of an array in JSON, or none.
pub(crate) fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

//! Who is who: ids of managers, versions of programs.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// The id of the manager with this data root on this machine, in the shape of a UUID. It is always
/// the same, and says nothing about the machine.
pub fn manager_id(data_root: &Path) -> String {
    let mut hash = Sha256::new_with_prefix(b"tare manager\0");
    hash.update(fs::read("/etc/machine-id").unwrap_or_default());
    hash.update(data_root.as_os_str().as_encoded_bytes());
    let digits = hex::encode(hash.finalize());
    let mut id = String::with_capacity(36);
    for (position, digit) in digits.chars().take(32).enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

/// The version that `program --version` says in its first line: its last word. None if it doesn't
/// run or doesn't say.
pub async fn program_version(program: &Path) -> Option<String> {
    let text = said(program, "--version").await?;
    Some(text.lines().next()?.split_whitespace().last()?.to_owned())
}

/// What an OCI runtime says that it can do, as JSON by the runtime specification. None if it doesn't
/// run or doesn't say.
pub async fn runtime_features(program: &Path) -> Option<serde_json::Value> {
    serde_json::from_str(&said(program, "features").await?).ok()
}

/// What `program` prints if it gets this argument.
async fn said(program: &Path, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ_by_root() {
        let one = manager_id(Path::new("/one"));
        assert_eq!(one.len(), 36);
        assert_eq!(one.matches('-').count(), 4);
        assert_eq!(one, manager_id(Path::new("/one")));
        assert_ne!(one, manager_id(Path::new("/two")));
    }
}

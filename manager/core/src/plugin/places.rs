//! Where plugins are found, as docker finds them: a socket called `NAME.sock`, or a file that says where
//! the plugin listens, in a directory for it or one of its own name below.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::tls::Proof;
use crate::error::{Error, Result};

/// The most that is read of a file that says where a plugin listens.
const LARGEST_FILE: u64 = 1 << 20;

/// The directories in which plugins are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where their sockets are.
    pub sockets: PathBuf,
    /// Where files are that say where they listen; the first counts.
    pub files: Vec<PathBuf>,
}

impl Default for Places {
    /// Docker's.
    fn default() -> Self {
        Self {
            sockets: "/run/docker/plugins".into(),
            files: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
        }
    }
}

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Address {
    /// `unix:///path`, `tcp://host:port`, `http://` or `https://`.
    pub(super) addr: String,
    /// Whom to believe by TLS, and how to prove who we are.
    #[serde(default, rename = "TLSConfig")]
    pub(super) proof: Option<Proof>,
}

impl Places {
    /// The names of all that are there, in order.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let sockets =
            names_in(&self.sockets).into_iter().filter(|name| self.socket(name).is_some());
        let files = self.files.iter().flat_map(|directory| names_in(directory));
        let files = files.filter(|name| self.file(name).is_some());
        sockets.chain(files).collect()
    }

    /// Where the plugin `name` listens.
    ///
    /// # Errors
    /// Not found, in docker's words; invalid for a file that says nothing of use.
    pub(super) fn find(&self, name: &str) -> Result<Address> {
        let missing = || Error::not_found(format!("plugin {name:?} not found"));
        // It becomes a part of paths.
        if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
            return Err(missing());
        }
        if let Some(socket) = self.socket(name) {
            return Ok(Address { addr: format!("unix://{}", socket.display()), proof: None });
        }
        let file = self.file(name).ok_or_else(missing)?;
        let wrong = |why: String| Error::invalid(format!("read {}: {why}", file.display()));
        let text = read(&file).map_err(|error| wrong(error.to_string()))?;
        if file.extension().is_some_and(|extension| extension == "json") {
            return serde_json::from_str(&text).map_err(|error| wrong(error.to_string()));
        }
        match text.trim() {
            address if address.contains("://") => {
                Ok(Address { addr: address.to_owned(), proof: None })
            }
            _ => Err(wrong("Unknown protocol".to_owned())),
        }
    }

    fn socket(&self, name: &str) -> Option<PathBuf> {
        let is_socket =
            |path: &PathBuf| path.metadata().is_ok_and(|facts| facts.file_type().is_socket());
        candidates(&self.sockets, name, "sock").into_iter().find(is_socket)
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        let of = |directory: &PathBuf| {
            let specs = candidates(directory, name, "spec");
            specs.into_iter().chain(candidates(directory, name, "json"))
        };
        self.files.iter().flat_map(of).find(|path| path.is_file())
    }
}

fn candidates(directory: &Path, name: &str, extension: &str) -> [PathBuf; 2] {
    let file = format!("{name}.{extension}");
    [directory.join(&file), directory.join(name).join(file)]
}

/// What plugins could be called of which something is in `directory`.
fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.and_then(|name| name.to_str()).map(str::to_owned)
    };
    entries.flatten().filter_map(name).collect()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, LARGEST_FILE), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn plugins_are_where_docker_looks_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::create_dir_all(at("s/two")).unwrap();
        std::fs::create_dir_all(at("f")).unwrap();
        let _one = UnixListener::bind(at("s/one.sock")).unwrap();
        let _two = UnixListener::bind(at("s/two/two.sock")).unwrap();
        std::fs::write(at("s/none.sock"), "no socket").unwrap();
        std::fs::write(at("f/three.spec"), "tcp://10.0.0.1:70\n").unwrap();
        let json = r#"{"Name": "four", "Addr": "https://x", "TLSConfig": {"CAFile": "/ca"}}"#;
        std::fs::write(at("f/four.json"), json).unwrap();
        std::fs::write(at("f/five.spec"), "nonsense").unwrap();
        let places = Places { sockets: at("s"), files: vec![at("none"), at("f")] };
        let names: Vec<_> = places.names().into_iter().collect();
        assert_eq!(names, ["five", "four", "one", "three", "two"]);
        let found = |name: &str| places.find(name).unwrap();
        assert_eq!(found("two").addr, format!("unix://{}", at("s/two/two.sock").display()));
        assert_eq!(found("three").addr, "tcp://10.0.0.1:70");
        assert!(found("four").proof.is_some());
        for name in ["none", "", "..", "two/two", "../s/one"] {
            let error = places.find(name).unwrap_err().to_string();
            assert_eq!(error, format!("plugin {name:?} not found"));
        }
        assert!(places.find("five").unwrap_err().to_string().contains("Unknown protocol"));
    }
}

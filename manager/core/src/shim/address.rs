//! Where a shim listens.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file in a bundle that keeps the answer.
const FILE: &str = "bootstrap.json";

/// What a shim answers to `start`: containerd's bootstrap parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    version: u32,
    address: String,
    protocol: String,
}

impl Address {
    /// Reads the answer.
    pub(crate) fn parse(answer: &str) -> Result<Self> {
        let parsed: Self = serde_json::from_str(answer.trim()).map_err(|error| {
            Error::system(format!("the shim answered {answer:?}, which isn't its address: {error}"))
        })?;
        match (parsed.version, parsed.protocol.as_str()) {
            (3, "grpc") => Ok(parsed),
            (version, protocol) => Err(Error::unsupported(format!(
                "a shim that speaks {protocol} in version {version}"
            ))),
        }
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.address.strip_prefix("unix://").unwrap_or(&self.address))
    }

    /// Keeps it in `bundle`.
    pub(crate) fn save(&self, bundle: &Path) -> Result<()> {
        let path = bundle.join(FILE);
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::system(format!("encode the shim's address: {error}")))?;
        std::fs::write(&path, bytes)
            .map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// The one kept in `bundle`.
    pub(crate) fn load(bundle: &Path) -> Result<Self> {
        let path = bundle.join(FILE);
        let answer = std::fs::read_to_string(&path)
            .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
        Self::parse(&answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_and_read_again() {
        let bundle = tempfile::tempdir().unwrap();
        let answer = r#"{"version":3,"address":"unix:///run/s/x","protocol":"grpc"}"#;
        let address = Address::parse(answer).unwrap();
        address.save(bundle.path()).unwrap();
        assert_eq!(Address::load(bundle.path()).unwrap(), address);
        assert_eq!(address.socket(), Path::new("/run/s/x"));
    }

    #[test]
    fn another_protocol_is_refused() {
        let answer = r#"{"version":2,"address":"unix:///run/s/x","protocol":"ttrpc"}"#;
        assert!(Address::parse(answer).unwrap_err().to_string().contains("ttrpc"));
        assert!(Address::parse("unix:///run/s/x").is_err());
    }
}

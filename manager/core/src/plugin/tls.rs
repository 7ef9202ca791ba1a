//! TLS with plugins on other machines, as a `.json` file of theirs says.

use std::path::PathBuf;

use rustls::ClientConfig;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::registry::certificates::{self, Own};

/// Whom to believe, and how to prove who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Proof {
    #[serde(rename = "InsecureSkipVerify")]
    anyone: bool,
    #[serde(rename = "CAFile")]
    authority: PathBuf,
    #[serde(rename = "CertFile")]
    certificate: PathBuf,
    #[serde(rename = "KeyFile")]
    key: PathBuf,
}

impl Proof {
    /// How to speak TLS. Without an authority, whoever answers is believed, as in docker.
    ///
    /// # Errors
    /// Invalid for files that can't be read, and for one of certificate and key without the other.
    pub(super) fn tls(&self) -> Result<ClientConfig> {
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        let own = match (given(&self.certificate), given(&self.key)) {
            (false, false) => None,
            (true, true) => Some(Own { chain: &self.certificate, key: &self.key }),
            _ => {
                return Err(Error::invalid(
                    "TLSConfig of a plugin has CertFile and KeyFile, or neither",
                ));
            }
        };
        let authority = (given(&self.authority) && !self.anyone).then_some(&*self.authority);
        certificates::tls_with(authority, own)
    }
}

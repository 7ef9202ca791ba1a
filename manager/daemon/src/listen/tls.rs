//! TLS: what proves to clients who we are, and who clients must be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::error::Error;

/// Who may talk to us over the network.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Nothing was said of it.
    Unsaid,
    /// Everyone, and it was said so.
    Everyone,
    /// Everyone, by TLS.
    Encrypted(Arc<ServerConfig>),
    /// Clients with a certificate of our authority.
    Verified(Arc<ServerConfig>),
}

/// The settings, as docker has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsSettings {
    pub(crate) tls: Option<bool>,
    pub(crate) verify: Option<bool>,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl TlsSettings {
    /// Whether there is to be TLS: as with docker, to say anything of `tlsverify` says so, and who
    /// wants TLS wants clients to be verified unless that is taken back.
    pub(crate) fn trust(&self) -> Result<Trust, Error> {
        match (self.tls, self.verify) {
            (None, None) => Ok(Trust::Unsaid),
            (Some(false), None) => Ok(Trust::Everyone),
            (_, Some(false)) => Ok(Trust::Encrypted(Arc::new(self.server(false)?))),
            (Some(true), None) | (_, Some(true)) => {
                Ok(Trust::Verified(Arc::new(self.server(true)?)))
            }
        }
    }

    fn server(&self, verify: bool) -> Result<ServerConfig, Error> {
        let (certificate, key) = (self.file("cert")?, self.file("key")?);
        let chain = certificates("tlscert", &certificate)?;
        let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| {
            Error::setting("tlskey", format!("no private key in {}: {error}", key.display()))
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::setting("tls", error.to_string()))?;
        let builder = if verify {
            let mut roots = RootCertStore::empty();
            let authority = self.file("ca")?;
            for root in certificates("tlscacert", &authority)? {
                roots.add(root).map_err(|error| {
                    let reason = format!("{}: {error}", authority.display());
                    Error::setting("tlscacert", reason)
                })?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| Error::setting("tlscacert", error.to_string()))?,
            )
        } else {
            builder.with_no_client_auth()
        };
        let mut server = builder
            .with_single_cert(chain, key)
            .map_err(|error| Error::setting("tlscert", format!("with tlskey: {error}")))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(server)
    }

    /// The file that was named for a purpose, or docker's default one.
    fn file(&self, purpose: &str) -> Result<PathBuf, Error> {
        let named = match purpose {
            "ca" => &self.authority,
            "cert" => &self.certificate,
            _ => &self.key,
        };
        named.clone().map_or_else(|| default_file(purpose), Ok)
    }
}

/// `DOCKER_CERT_PATH`, `DOCKER_CONFIG` or `~/.docker` is where docker's own daemon looks.
fn default_file(purpose: &str) -> Result<PathBuf, Error> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CERT_PATH")
        .or_else(|| set("DOCKER_CONFIG"))
        .or_else(|| Some(set("HOME")?.join(".docker")));
    let directory = directory.ok_or_else(|| {
        Error::setting("tls", "name the files by --tlscacert, --tlscert and --tlskey")
    })?;
    Ok(directory.join(format!("{purpose}.pem")))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason: String| Error::setting(setting, format!("{}: {reason}", path.display()));
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<_> =
        found.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    match found.is_empty() {
        true => Err(wrong("there is no certificate in it".to_owned())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_say_anything_of_verification_is_to_want_tls() {
        let settings = |tls, verify| TlsSettings { tls, verify, ..TlsSettings::default() };
        assert!(matches!(settings(None, None).trust(), Ok(Trust::Unsaid)));
        assert!(matches!(settings(Some(false), None).trust(), Ok(Trust::Everyone)));
        // All others need a certificate.
        for (tls, verify) in
            [(Some(true), None), (None, Some(true)), (None, Some(false)), (Some(false), Some(true))]
        {
            let named = TlsSettings {
                certificate: Some(PathBuf::from("/no/such/cert.pem")),
                key: Some(PathBuf::from("/no/such/key.pem")),
                ..settings(tls, verify)
            };
            let error = named.trust().unwrap_err().to_string();
            assert!(error.contains("tlscert") && error.contains("/no/such/cert.pem"), "{error}");
        }
    }
}

//! Whom we believe on the other end of TLS, and how we prove who we are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};

/// The authorities that this system trusts, read when they are first needed.
#[derive(Default)]
pub(super) struct Authorities(OnceLock<Arc<RootCertStore>>);

impl Authorities {
    /// How to speak TLS with the registry `authority`, whose certificates are below `directory`.
    /// They are read anew each time: who changes them need not start us again.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for certificates that can't be read.
    pub(super) fn tls(&self, directory: &Path, authority: &str) -> Result<ClientConfig> {
        let files = Files::list(&directory.join(authority))?;
        let mut trusted = Arc::clone(self.0.get_or_init(|| Arc::new(of_the_system())));
        for path in &files.authorities {
            let roots = Arc::make_mut(&mut trusted);
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| invalid(path, error))?;
            }
        }
        let builder = builder()?.with_root_certificates(trusted);
        match files.own {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => prove(builder, Own { chain: &chain, key: &key }),
        }
    }
}

/// How to speak TLS with whoever answers.
pub(super) fn tls_with_anyone() -> Result<ClientConfig> {
    tls_with(None, None)
}

/// Our certificate, with those that vouch for it, and its key.
pub(crate) struct Own<'a> {
    /// The file of the certificates.
    pub(crate) chain: &'a Path,
    /// The file of the key.
    pub(crate) key: &'a Path,
}

/// How to speak TLS with whoever the authorities in the file `authority` vouch for, or with whoever
/// answers.
///
/// # Errors
/// [`crate::Kind::Invalid`] for files that can't be read.
pub(crate) fn tls_with(authority: Option<&Path>, own: Option<Own<'_>>) -> Result<ClientConfig> {
    let builder = match authority {
        None => builder()?.dangerous().with_custom_certificate_verifier(anyone()),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| invalid(path, error))?;
            }
            builder()?.with_root_certificates(roots)
        }
    };
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some(own) => prove(builder, own),
    }
}

type Proving = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// With our certificate.
fn prove(builder: Proving, own: Own<'_>) -> Result<ClientConfig> {
    let private = PrivateKeyDer::from_pem_file(own.key).map_err(|error| invalid(own.key, error))?;
    let proved = builder.with_client_auth_cert(certificates(own.chain)?, private);
    proved.map_err(|error| invalid(own.key, error))
}

fn anyone() -> Arc<Anyone> {
    Arc::new(Anyone(Arc::new(ring::default_provider())))
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::system(format!("set up TLS: {error}")))
}

fn of_the_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "an authority of the system can't be read");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(ignored, "authorities of the system that can't be used");
    }
    roots
}

/// The files of one registry.
#[derive(Default)]
struct Files {
    authorities: Vec<PathBuf>,
    /// Our certificate and its key.
    own: Option<(PathBuf, PathBuf)>,
}

impl Files {
    fn list(directory: &Path) -> Result<Self> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(unreadable(directory, error)),
        };
        let paths: Result<BTreeSet<PathBuf>> = entries
            .map(|entry| Ok(entry.map_err(|error| unreadable(directory, error))?.path()))
            .collect();
        let paths = paths?;
        let mut files = Self::default();
        for path in &paths {
            let other = |extension: &str| path.with_extension(extension);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => files.authorities.push(path.clone()),
                Some("cert") if paths.contains(&other("key")) => {
                    files.own.get_or_insert((path.clone(), other("key")));
                }
                Some("cert") => return Err(missing_key(path, &other("key"))),
                Some("key") if !paths.contains(&other("cert")) => {
                    return Err(Error::invalid(format!(
                        "missing client certificate {} for key {}",
                        other("cert").display(),
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(files)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| invalid(path, error))?;
    let all: Result<Vec<_>> = all.map(|one| one.map_err(|error| invalid(path, error))).collect();
    match all? {
        none if none.is_empty() => Err(invalid(path, "there is none in it")),
        some => Ok(some),
    }
}

fn missing_key(certificate: &Path, key: &Path) -> Error {
    Error::invalid(format!(
        "missing key {} for client certificate {}. CA certificates must use the extension .crt",
        key.display(),
        certificate.display()
    ))
}

fn invalid(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the certificate or key {} can't be used: {reason}", path.display()))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io(format_args!("list the certificates in {}", path.display()), error)
}

/// Believes everyone, for registries that need not prove who they are.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let of_registry = directory.path().join("r.test:5000");
        std::fs::create_dir(&of_registry).unwrap();
        for (name, content) in files {
            std::fs::write(of_registry.join(name), content).unwrap();
        }
        let tls = Authorities::default().tls(directory.path(), "r.test:5000");
        tls.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        assert_eq!(refused(&[]), "");
        assert_eq!(refused(&[("notes.txt", "anything")]), "");
        assert!(refused(&[("client.cert", "")]).starts_with("missing key "));
        assert!(refused(&[("client.key", "")]).starts_with("missing client certificate "));
        assert!(refused(&[("ca.crt", "no PEM")]).contains("there is none in it"));
    }
}

//! Why no answer came from a server, in the words that docker has for it.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

use reqwest::Url;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What became of a request that got no answer, or only a part of one.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let place = error.url().map(place).unwrap_or_default();
    if error.is_timeout() {
        return match error.is_connect() {
            true => format!("dial tcp {place}: i/o timeout"),
            false => "the registry does not answer: timed out".to_owned(),
        };
    }
    if let Some(text) = chain(error).find_map(tls).and_then(|error| of_tls(error, &place)) {
        return text;
    }
    if error.is_connect() {
        let through = if chain(error).any(|cause| cause.to_string().starts_with("tunnel error")) {
            Way::Proxy
        } else {
            Way::Direct
        };
        if let Some(text) = chain(error).find_map(|cause| unreached(cause, &place, through)) {
            return text;
        }
    }
    let mut text = String::new();
    for cause in chain(error).map(ToString::to_string) {
        // The outermost only say that there was a request.
        if !cause.starts_with("client error") && !text.ends_with(&cause) {
            let _ = write!(text, "{}{cause}", if text.is_empty() { "" } else { ": " });
        }
    }
    if text.is_empty() { error.to_string() } else { text }
}

/// Whether the server has ended the conversation for a reason that it will have again.
pub(super) fn is_final(error: &reqwest::Error) -> bool {
    chain(error).find_map(tls).is_some_and(|error| match error {
        rustls::Error::AlertReceived(alert) => is_refusal(*alert),
        _ => false,
    })
}

/// Whether a server says by this that it does not take us, as against one that is just starting or
/// ending.
fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::HandshakeFailure
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName
            | Alert::NoApplicationProtocol
    )
}

/// What went wrong with TLS; what an error is made of is no cause of it.
fn tls<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(error);
    }
    tls(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

/// Who did not let us through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Proxy,
}

/// What caused `error`, from the outermost to the innermost.
fn chain<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// `HOST:PORT`
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Why no connection came about; none if `cause` doesn't say it.
fn unreached(cause: &(dyn StdError + 'static), place: &str, way: Way) -> Option<String> {
    if let Some(names) = cause.to_string().strip_prefix("failed to lookup address information: ") {
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        let reason = match names {
            "Name or service not known" | "No address associated with hostname" => "no such host",
            other => other,
        };
        return Some(match way {
            Way::Direct => format!("dial tcp: lookup {host}: {reason}"),
            Way::Proxy => format!("proxyconnect tcp: dial tcp: lookup: {reason}"),
        });
    }
    let error = cause.downcast_ref::<io::Error>()?;
    if let Some(inner) = error.get_ref() {
        return unreached(inner, place, way);
    }
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::TimedOut => "connection timed out",
        _ => return None,
    };
    Some(match way {
        Way::Direct => format!("dial tcp {place}: connect: {reason}"),
        Way::Proxy => format!("proxyconnect tcp: dial tcp: connect: {reason}"),
    })
}

fn of_tls(error: &rustls::Error, place: &str) -> Option<String> {
    let certificate = |reason: &str| Some(format!("tls: failed to verify certificate: {reason}"));
    match error {
        // It began as nothing of TLS does.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("http: server gave HTTP response to HTTPS client".to_owned())
        }
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => {
                certificate("x509: certificate signed by unknown authority")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                certificate(&format!("x509: certificate has expired: {reason}"))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                certificate(&format!("x509: certificate is not yet valid: {reason}"))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
                certificate(&format!("x509: certificate is not valid for {host}: {reason}"))
            }
            other => certificate(&format!("x509: {other}")),
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some("remote error: tls: certificate required".to_owned())
        }
        rustls::Error::AlertReceived(AlertDescription::BadCertificate) => {
            Some("remote error: tls: bad certificate".to_owned())
        }
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            Some("remote error: tls: unknown certificate authority".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(error: &(dyn StdError + 'static)) -> Option<String> {
        unreached(error, "r.test:443", Way::Direct)
    }

    #[test]
    fn connections_fail_in_dockers_words() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(words(&refused).unwrap(), "dial tcp r.test:443: connect: connection refused");
        assert_eq!(
            unreached(&refused, "r.test:443", Way::Proxy).unwrap(),
            "proxyconnect tcp: dial tcp: connect: connection refused"
        );
        let unknown = "failed to lookup address information: Name or service not known";
        let unknown = io::Error::other(unknown);
        assert_eq!(words(&unknown).unwrap(), "dial tcp: lookup r.test: no such host");
        assert_eq!(words(&io::Error::other("something else")), None);
    }

    #[test]
    fn a_server_that_is_not_ready_is_no_server_that_refuses() {
        assert!(is_refusal(AlertDescription::CertificateRequired));
        assert!(is_refusal(AlertDescription::HandshakeFailure));
        assert!(!is_refusal(AlertDescription::InternalError));
        assert!(!is_refusal(AlertDescription::CloseNotify));
    }

    #[test]
    fn certificates_are_refused_in_dockers_words() {
        let wrapped = |error: rustls::Error| io::Error::other(error);
        let words = |error: &(dyn StdError + 'static)| of_tls(tls(error)?, "r.test:443");
        let issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(
            words(&io::Error::other(wrapped(issuer))).unwrap(),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        assert!(words(&wrapped(rustls::Error::DecryptError)).is_none());
        let name = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        assert!(
            words(&wrapped(name)).unwrap().contains("x509: certificate is not valid for r.test")
        );
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(words(&plain).unwrap(), "http: server gave HTTP response to HTTPS client");
    }
}

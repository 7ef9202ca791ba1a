//! What goes wrong with registries, and docker's words for it.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::cause::{cause, is_final};
use super::challenge::{Challenge, Refused, TokenError};
use crate::error::{Error, Kind};
use crate::image::Reference;

/// The longest explanation that is read.
const LONGEST_EXPLANATION: usize = 64 << 10;
/// The longest that is shown of one that is no JSON.
const LONGEST_SHOWN: usize = 512;

/// A request that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The registry says no.
    Refused(Refusal),
    /// No whole answer came.
    Broken {
        /// What was tried and what happened.
        text: String,
        /// Whether a connection came about.
        connected: bool,
    },
    /// The registry wants a user and a password, and there are none.
    NoCredentials {
        /// What was tried.
        request: String,
    },
    /// What came is not what it has to be.
    Wrong(String),
    /// It failed on this side.
    Ours(Error),
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    /// The registry's words.
    text: String,
    /// When it wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// Why a registry says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unauthorized,
    Denied,
    ManifestUnknown,
    NameUnknown,
    BlobUnknown,
    TooManyRequests,
    Other,
}

#[derive(Deserialize)]
struct Explanation {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// What became of a request that got no answer, or only a part of one.
    pub(super) fn broken(request: &str, error: &reqwest::Error) -> Self {
        let reason = cause(error);
        if error.is_redirect() || is_final(error) {
            return Self::Wrong(format!("{request}: {reason}"));
        }
        Self::Broken { text: format!("{request}: {reason}"), connected: !error.is_connect() }
    }

    /// An answer that is an error.
    pub(super) async fn refused(mut response: Response) -> Self {
        let status = response.status();
        let retry_after = seconds(&response);
        let challenged = Challenge::of(response.headers());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_EXPLANATION {
                break;
            }
        }
        let (code, text) = explanation(status, &challenged, &body);
        Self::Refused(Refusal { status, code, text, retry_after })
    }

    /// A token service's refusal, as what became of the request that needed the token.
    pub(super) fn during(self, request: &str) -> Self {
        match self {
            Self::Refused(mut refusal) => {
                refusal.text = format!("{request}: {}", refusal.text);
                Self::Refused(refusal)
            }
            other => other,
        }
    }

    /// The registry's refusal to let someone in who has logged in.
    pub(super) fn of_login(self, address: &str) -> Self {
        match self {
            Self::Refused(mut refusal) => {
                let status = refusal.status;
                refusal.text = format!("login attempt to {address} failed with status: {status}");
                Self::Refused(refusal)
            }
            other => other,
        }
    }

    /// Whether trying again may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                let status = refusal.status;
                status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT
                    || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
            }
            Self::Broken { .. } => true,
            Self::NoCredentials { .. } | Self::Wrong(_) | Self::Ours(_) => false,
        }
    }

    /// When the registry wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the registry refused with this status.
    pub(crate) fn is_status(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }

    /// The same for whoever asked for the image `name`, in docker's words.
    pub(crate) fn of_pull(self, name: &Reference) -> Error {
        let Self::Refused(refusal) = &self else { return self.into() };
        let (text, familiar) = (&refusal.text, name.familiar());
        let repository = name.familiar_name();
        match refusal.code {
            Code::Denied => Error::not_found(format!(
                "pull access denied for {repository}, repository does not exist or may require \
                 'docker login': {text}"
            )),
            Code::ManifestUnknown => {
                Error::not_found(format!("manifest for {familiar} not found: {text}"))
            }
            Code::NameUnknown => {
                Error::not_found(format!("repository {repository} not found: {text}"))
            }
            _ => self.into(),
        }
    }
}

impl Failure {
    /// The same for whoever pushes, in docker's words.
    pub(crate) fn of_push(self) -> Error {
        match self {
            Self::NoCredentials { .. } => Error::system("no basic auth credentials"),
            other => other.into(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => {
                let kind = match refusal.code {
                    Code::Unauthorized => Kind::Unauthorized,
                    Code::Denied => Kind::Forbidden,
                    Code::ManifestUnknown | Code::NameUnknown | Code::BlobUnknown => Kind::NotFound,
                    Code::TooManyRequests => Kind::Unavailable,
                    Code::Other => Kind::System,
                };
                Self::new(kind, refusal.text)
            }
            Failure::Broken { text, .. } | Failure::Wrong(text) => Self::system(text),
            Failure::NoCredentials { request } => {
                Self::system(format!("{request}: no basic auth credentials"))
            }
            Failure::Ours(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// What a request is called in errors: without its query, which may have secrets in it.
pub(super) fn name(method: &str, url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    let (first, rest) = method.split_at(1);
    format!("{first}{} \"{shown}\"", rest.to_lowercase())
}

/// Reads what the registry says about its refusal.
fn explanation(status: StatusCode, challenged: &[Challenge], body: &[u8]) -> (Code, String) {
    // Of a token that does not do, the challenge says more than the answer.
    if status.is_client_error()
        && let Some(refused) = challenged.iter().find_map(Challenge::refused)
    {
        return of_token(refused);
    }
    if let Ok(explanation) = serde_json::from_slice::<Explanation>(body)
        && let Some(reason) = explanation.errors.into_iter().next()
    {
        let said = reason.code.to_lowercase().replace('_', " ");
        let text = match reason.message.as_str() {
            "" => said,
            message => format!("{said}: {message}"),
        };
        return (code(&reason.code, status), text);
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST_SHOWN)]).trim().to_owned();
    let said = if text.is_empty() { status.to_string() } else { text };
    match status {
        StatusCode::UNAUTHORIZED => (Code::Unauthorized, format!("unauthorized: {said}")),
        StatusCode::FORBIDDEN => (Code::Denied, format!("denied: {said}")),
        StatusCode::TOO_MANY_REQUESTS => {
            (Code::TooManyRequests, format!("toomanyrequests: {said}"))
        }
        status if status.is_server_error() => {
            (Code::Other, format!("received unexpected HTTP status: {status}"))
        }
        status => (Code::Other, format!("unknown: {said} (HTTP status {})", status.as_u16())),
    }
}

fn of_token(refused: &Refused) -> (Code, String) {
    let (code, word, usual) = match refused.reason {
        TokenError::Invalid => (Code::Unauthorized, "unauthorized", "authentication required"),
        TokenError::InsufficientScope => {
            (Code::Denied, "denied", "requested access to the resource is denied")
        }
    };
    (code, format!("{word}: {}", refused.description.as_deref().unwrap_or(usual)))
}

fn code(word: &str, status: StatusCode) -> Code {
    match word {
        "UNAUTHORIZED" => Code::Unauthorized,
        "DENIED" => Code::Denied,
        "MANIFEST_UNKNOWN" => Code::ManifestUnknown,
        // Some registries have one code for all that isn't there.
        "NOT_FOUND" if status == StatusCode::NOT_FOUND => Code::ManifestUnknown,
        "NAME_UNKNOWN" => Code::NameUnknown,
        "BLOB_UNKNOWN" => Code::BlobUnknown,
        "TOOMANYREQUESTS" => Code::TooManyRequests,
        _ => Code::Other,
    }
}

/// The header `Retry-After`, where it is a number of seconds.
fn seconds(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: StatusCode, body: &str) -> Failure {
        let (code, text) = explanation(status, &[], body.as_bytes());
        Failure::Refused(Refusal { status, code, text, retry_after: None })
    }

    fn pulled(failure: Failure) -> Error {
        failure.of_pull(&Reference::parse("r.test/a:1").unwrap())
    }

    #[test]
    fn words_are_dockers() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let error = pulled(refusal(StatusCode::NOT_FOUND, unknown));
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(
            error.to_string(),
            "manifest for r.test/a:1 not found: manifest unknown: manifest unknown"
        );
        let denied = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
        assert_eq!(
            pulled(refusal(StatusCode::FORBIDDEN, denied)).to_string(),
            "pull access denied for r.test/a, repository does not exist or may require 'docker \
             login': denied: no"
        );
        let error = pulled(refusal(StatusCode::UNAUTHORIZED, "go away"));
        assert_eq!(error.to_string(), "unauthorized: go away");
        assert_eq!(error.kind(), Kind::Unauthorized);
    }

    #[test]
    fn what_is_said_of_a_token_goes_first() {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        let refused = |reason, description: Option<&str>| {
            let description = description.map(str::to_owned);
            let challenge = Challenge::Bearer {
                realm: String::new(),
                service: String::new(),
                scope: String::new(),
                error: Some(Refused { reason, description }),
            };
            explanation(StatusCode::UNAUTHORIZED, &[challenge], body.as_bytes())
        };
        let scope = refused(TokenError::InsufficientScope, None);
        let denied = "denied: requested access to the resource is denied";
        assert_eq!(scope, (Code::Denied, denied.to_owned()));
        let scope = refused(TokenError::InsufficientScope, Some("no"));
        assert_eq!(scope, (Code::Denied, "denied: no".to_owned()));
        let invalid = refused(TokenError::Invalid, None);
        assert_eq!(
            invalid,
            (Code::Unauthorized, "unauthorized: authentication required".to_owned())
        );
    }

    #[test]
    fn an_answer_that_is_no_json_is_still_one() {
        let error = pulled(refusal(StatusCode::BAD_GATEWAY, "<html>"));
        assert_eq!(error.to_string(), "received unexpected HTTP status: 502 Bad Gateway");
        assert!(refusal(StatusCode::BAD_GATEWAY, "").is_passing());
        assert!(!refusal(StatusCode::NOT_FOUND, "{}").is_passing());
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let url = "https://u:p@r.test/v2/a?token=secret".parse().unwrap();
        assert_eq!(name("GET", &url), "Get \"https://r.test/v2/a\"");
    }
}

//! What a client shows to registries. It is asked for when it is needed, and kept by nobody here.

use std::fmt;

use tare_proto::builds::moby::filesync::v1::auth_client::AuthClient;
use tare_proto::builds::moby::filesync::v1::{CredentialsRequest, FetchTokenRequest};
use tonic::Code;

use super::Session;
use super::connection::origin;
use super::failure::failed;
use crate::error::Result;

/// A user and what proves it. Without a user, the secret is a token that gets others.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password or token.
    pub secret: String,
}

/// What a token is wanted for, as a registry's challenge says it.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// The registry.
    pub host: String,
    /// Who gives tokens.
    pub realm: String,
    /// What it calls the registry.
    pub service: String,
    /// What it should allow.
    pub scopes: Vec<String>,
}

/// A token to show to a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Seconds for which it is good, zero if that is not known.
    pub expires_in: i64,
}

/// What the client has for the registry `host`, if it has anything.
///
/// # Errors
/// If the client fails, or goes.
pub async fn credentials(session: &Session, host: &str) -> Result<Option<Credentials>> {
    let mut client = AuthClient::with_origin(session.link(), origin());
    match client.credentials(CredentialsRequest { host: host.to_owned() }).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let has_any = !(answer.username.is_empty() && answer.secret.is_empty());
            let found = Credentials { username: answer.username, secret: answer.secret };
            Ok(has_any.then_some(found))
        }
        Err(status) if status.code() == Code::Unimplemented => Ok(None),
        Err(status) => Err(failed(session, &status)),
    }
}

/// A token that the client gets itself; none if it leaves that to whom it gives credentials.
///
/// # Errors
/// If the client fails, or goes.
pub async fn token(session: &Session, challenge: &Challenge) -> Result<Option<Token>> {
    let mut client = AuthClient::with_origin(session.link(), origin());
    let Challenge { host, realm, service, scopes } = challenge.clone();
    let request = FetchTokenRequest { client_id: "tared".to_owned(), host, realm, service, scopes };
    match client.fetch_token(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            Ok(Some(Token { token: answer.token, expires_in: answer.expires_in }))
        }
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::Unavailable) => Ok(None),
        Err(status) => Err(failed(session, &status)),
    }
}

/// Neither is ever written anywhere.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

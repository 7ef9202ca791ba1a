//! Tokens: what a registry's own service gives for a password, to be shown to the registry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde::Deserialize;

use super::credentials::Credentials;
use super::failure::{self, Failure};

/// The longest answer of a token service that is read.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How long a token is good that doesn't say so.
const USUAL_LIFE: u64 = 60;
/// The longest that a token is kept, whatever its service says.
const LONGEST_LIFE: u64 = 24 * 60 * 60;
/// A token is not used so shortly before its end.
const MARGIN: Duration = Duration::from_secs(10);
/// The name by which clients of registries go.
const CLIENT: &str = "docker";
/// Tokens that are kept at once.
const MOST_KEPT: usize = 1024;

/// What is to be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

impl Access {
    /// The scope of a token for a repository.
    pub(super) fn scope(self, repository: &str) -> String {
        match self {
            Self::Pull => format!("repository:{repository}:pull"),
            Self::Push => format!("repository:{repository}:pull,push"),
        }
    }
}

/// What a token is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// The service's address.
    pub(super) realm: String,
    /// The registry's name for itself.
    pub(super) service: String,
    pub(super) scopes: Vec<String>,
    pub(super) credentials: Credentials,
}

/// Tokens that are good still.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Wanted, Token>>);

struct Token {
    text: String,
    until: Instant,
}

/// What a token service gave.
pub(super) struct Granted {
    pub(super) token: String,
    /// Gets further tokens without the password.
    pub(super) identity_token: Option<String>,
    life: u64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    expires_in: u64,
}

impl Tokens {
    /// A token that is known, or a new one.
    pub(super) async fn get(&self, client: &Client, wanted: Wanted) -> Result<String, Failure> {
        if let Some(token) = self.known(&wanted) {
            return Ok(token);
        }
        let granted = fetch(client, &wanted, Stay::Short).await?;
        let until = Instant::now() + Duration::from_secs(granted.life).saturating_sub(MARGIN);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.until > Instant::now());
        if tokens.len() < MOST_KEPT {
            tokens.insert(wanted, Token { text: granted.token.clone(), until });
        }
        Ok(granted.token)
    }

    fn known(&self, wanted: &Wanted) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(wanted).filter(|token| token.until > Instant::now()).map(|t| t.text.clone())
    }

    /// A token that the registry didn't take.
    pub(super) fn forget(&self, wanted: &Wanted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(wanted);
    }
}

/// Whether further tokens will be wanted without the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    Short,
    Long,
}

/// Asks the service: by OAuth2 with an identity token, else with user and password, or as nobody.
pub(super) async fn fetch(
    client: &Client,
    wanted: &Wanted,
    stay: Stay,
) -> Result<Granted, Failure> {
    let realm = Url::parse(&wanted.realm).map_err(|error| {
        Failure::Wrong(format!("invalid realm {:?} of the registry: {error}", wanted.realm))
    })?;
    let (request, name) = if wanted.credentials.identity_token.is_empty() {
        by_password(client, realm, wanted, stay)
    } else {
        by_identity(client, realm, wanted)
    };
    let response = request.send().await.map_err(|error| Failure::broken(&name, &error))?;
    if !response.status().is_success() {
        return Err(Failure::refused(response).await);
    }
    let body = super::request::whole(response, LONGEST_ANSWER, &name).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
        Failure::Wrong(format!("{name}: unable to decode token response: {error}"))
    })?;
    let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if token.is_empty() {
        return Err(Failure::Wrong(format!(
            "{name}: authorization server did not include a token"
        )));
    }
    Ok(Granted {
        token,
        identity_token: Some(answer.refresh_token).filter(|token| !token.is_empty()),
        life: answer.expires_in.clamp(USUAL_LIFE, LONGEST_LIFE),
    })
}

fn by_password(
    client: &Client,
    mut realm: Url,
    wanted: &Wanted,
    stay: Stay,
) -> (reqwest::RequestBuilder, String) {
    let basic = wanted.credentials.basic();
    {
        let mut query = realm.query_pairs_mut();
        if let Some((user, _)) = basic {
            query.append_pair("account", user);
        }
        if stay == Stay::Long {
            query.append_pair("client_id", CLIENT).append_pair("offline_token", "true");
        }
        for scope in &wanted.scopes {
            query.append_pair("scope", scope);
        }
        if !wanted.service.is_empty() {
            query.append_pair("service", &wanted.service);
        }
    }
    let name = failure::name("GET", &realm);
    let request = client.get(realm);
    match basic {
        Some((user, password)) => (request.basic_auth(user, Some(password)), name),
        None => (request, name),
    }
}

fn by_identity(client: &Client, realm: Url, wanted: &Wanted) -> (reqwest::RequestBuilder, String) {
    let name = failure::name("POST", &realm);
    let mut form = realm.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", &wanted.credentials.identity_token)
        .append_pair("service", &wanted.service)
        .append_pair("client_id", CLIENT)
        .append_pair("scope", &wanted.scopes.join(" "));
    let body = form.query().unwrap_or_default().to_owned();
    let request = client
        .post(realm)
        .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body);
    (request, name)
}

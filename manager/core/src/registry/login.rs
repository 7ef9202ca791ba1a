//! Logging in: whether a registry takes these credentials.

use std::sync::Arc;

use reqwest::{Method, StatusCode};

use super::Registries;
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::mirrors::HUB;
use super::session::choose;
use super::token::{self, Stay, Wanted};
use crate::error::{Error, Result};

/// What came of logging in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// To be shown instead of the password from now on, if the registry gave one.
    pub identity_token: Option<String>,
}

impl Registries {
    /// Tries whether the registry that the credentials are for takes them.
    ///
    /// # Errors
    /// [`crate::Kind::Unauthorized`] if it does not; [`crate::Kind::System`] if it cannot be
    /// reached.
    pub async fn login(self: &Arc<Self>, credentials: Credentials) -> Result<LoggedIn> {
        let registry = registry_of(&credentials.server);
        let endpoints = self.endpoints_to_push(&registry, &credentials).await?;
        let mut last = None;
        for endpoint in &endpoints {
            match self.login_at(endpoint).await {
                Ok(logged_in) => return Ok(logged_in),
                Err(failure @ Failure::Broken { connected: false, .. }) => last = Some(failure),
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(last.map_or_else(|| Error::invalid("no registry to log in to"), Error::from))
    }

    async fn login_at(&self, endpoint: &Endpoint) -> Result<LoggedIn, Failure> {
        let url = endpoint.url("")?;
        let name = failure::name("GET", &url);
        let broken = |error| Failure::broken(&name, &error);
        let ask = || endpoint.client.request(Method::GET, url.clone());
        let answer = ask().send().await.map_err(broken)?;
        if answer.status().is_success() {
            return Ok(LoggedIn { identity_token: None });
        }
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Err(Failure::refused(answer).await);
        }
        let credentials = &endpoint.credentials;
        let (proven, identity_token) = match choose(Challenge::of(answer.headers())) {
            None => return Err(Failure::refused(answer).await),
            Some(Challenge::Basic) => {
                let Some((user, password)) = credentials.basic() else {
                    return Err(Failure::NoCredentials { request: name });
                };
                (ask().basic_auth(user, Some(password)), None)
            }
            Some(Challenge::Bearer { realm, service, .. }) => {
                let credentials = credentials.clone();
                let wanted = Wanted { realm, service, scopes: Vec::new(), credentials };
                let granted = token::fetch(&endpoint.client, &wanted, Stay::Long).await;
                let granted = granted.map_err(|failure| failure.during(&name))?;
                (ask().bearer_auth(granted.token), granted.identity_token)
            }
        };
        let answer = proven.send().await.map_err(broken)?;
        if answer.status().is_success() {
            return Ok(LoggedIn { identity_token });
        }
        let refused = Failure::refused(answer).await;
        Err(refused.of_login(url.as_str()))
    }
}

/// The registry of an address as clients of old write it: `https://index.docker.io/v1/`.
fn registry_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_old_are_understood() {
        assert_eq!(registry_of(""), HUB);
        assert_eq!(registry_of("https://index.docker.io/v1/"), HUB);
        assert_eq!(registry_of("https://r.test:5000/v2/"), "r.test:5000");
        assert_eq!(registry_of("r.test"), "r.test");
    }
}

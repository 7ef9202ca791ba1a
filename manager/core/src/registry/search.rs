//! Searching: what only the Hub and a few others can, by the first version of their protocol.

use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;

use super::Registries;
use super::credentials::Credentials;
use super::failure::{self, Failure};
use super::mirrors::HUB;
use super::request::whole;
use crate::error::{Error, Result};

/// Where the Hub is searched.
const HUB_INDEX: &str = "index.docker.io";
/// Results when nobody says how many.
const USUAL: u32 = 25;
const MOST: u32 = 100;
const LONGEST_ANSWER: u64 = 8 << 20;

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What its owner says about it.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether the registry itself publishes it.
    pub official: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Option<Vec<Item>>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Item {
    name: Option<String>,
    description: Option<String>,
    star_count: u64,
    is_official: bool,
}

impl Registries {
    /// The images that a registry finds for `term`, which may begin with the registry's name.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a term or a limit that cannot be;
    /// [`crate::Kind::System`] for a registry that cannot be reached, or searched.
    pub async fn search(
        self: &Arc<Self>,
        term: &str,
        limit: Option<u32>,
        credentials: Credentials,
    ) -> Result<Vec<Found>> {
        let limit = limit.filter(|limit| *limit != 0).unwrap_or(USUAL);
        if limit > MOST {
            return Err(Error::invalid(format!(
                "limit {limit} is outside the range of [1, {MOST}]"
            )));
        }
        if term.contains("://") {
            return Err(Error::invalid(format!(
                "invalid repository name: repository name ({term}) should not have a scheme"
            )));
        }
        let (registry, word) = split(term);
        let host = if registry == HUB { HUB_INDEX } else { registry };
        let endpoints = self.endpoints_to_push(host, &credentials).await?;
        let mut last = None;
        for endpoint in &endpoints {
            let mut url = endpoint.base.clone();
            url.set_path("/v1/search");
            url.query_pairs_mut().append_pair("q", word).append_pair("n", &limit.to_string());
            let mut request = endpoint.client.get(url.clone());
            if let Some((user, password)) = endpoint.credentials.basic() {
                request = request.basic_auth(user, Some(password));
            }
            match ask(request, &url).await {
                Ok(found) => return Ok(found),
                Err(failure @ Failure::Broken { connected: false, .. }) => last = Some(failure),
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(last.map_or_else(|| Error::invalid("no registry to search"), Error::from))
    }
}

async fn ask(request: reqwest::RequestBuilder, url: &Url) -> Result<Vec<Found>, Failure> {
    let name = failure::name("GET", url);
    let answer = request.send().await.map_err(|error| Failure::broken(&name, &error))?;
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(Failure::Wrong(format!("Unexpected status code {}", status.as_u16())));
    }
    let content = whole(answer, LONGEST_ANSWER, &name).await?;
    let answer: Answer = serde_json::from_slice(&content)
        .map_err(|error| Failure::Wrong(format!("{name}: {error}")))?;
    let found = answer.results.unwrap_or_default().into_iter().map(|item| Found {
        name: item.name.unwrap_or_default(),
        description: item.description.unwrap_or_default(),
        stars: item.star_count,
        official: item.is_official,
    });
    Ok(found.collect())
}

/// The registry of a term, and the rest. On the Hub `library/` is left out, as in names.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => (HUB, of_hub(rest)),
            host => (host, rest),
        },
        _ => (HUB, of_hub(term)),
    }
}

fn of_hub(word: &str) -> &str {
    word.strip_prefix("library/").unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::{Reply, Scripted, impatient};

    #[test]
    fn a_term_may_name_its_registry() {
        assert_eq!(split("busybox"), (HUB, "busybox"));
        assert_eq!(split("library/busybox"), (HUB, "busybox"));
        assert_eq!(split("r.test/a/b"), ("r.test", "a/b"));
        assert_eq!(split("docker.io/library/x"), (HUB, "x"));
    }

    #[tokio::test]
    async fn what_is_found_is_told() {
        let body = r#"{"results":[{"name":"a","description":null,"star_count":3}]}"#;
        let registry = Scripted::start(move |_| Reply::new(200, body)).await;
        let registries = Registries::new(impatient());
        let term = format!("{}/word", registry.address);
        let found = registries.search(&term, None, Credentials::default()).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].stars), ("a", 3));
        assert_eq!(registry.asked_for("/"), ["GET /v1/search?q=word&n=25"]);
        assert!(registries.search(&term, Some(101), Credentials::default()).await.is_err());
    }
}

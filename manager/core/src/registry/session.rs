//! One repository of one registry, for one pull or push: requests with what the registry wants to
//! see, tried again where that may help, and at the next endpoint where this one doesn't do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::challenge::Challenge;
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::patience::Patience;
use super::request::{Content, Request, judged};
use super::token::{Access, Wanted};
use super::{Registries, RegistrySettings};
use crate::error::Result;
use crate::image::Reference;

/// Nothing, a token that was kept, a new one.
const MOST_PROOFS: usize = 3;

/// Work with one repository.
pub(crate) struct Session {
    registries: Arc<Registries>,
    settings: Arc<RegistrySettings>,
    name: Reference,
    access: Access,
    endpoints: Vec<Endpoint>,
    /// The first endpoint that has not failed yet.
    first: AtomicUsize,
}

impl Session {
    pub(super) fn new(
        registries: Arc<Registries>,
        name: &Reference,
        access: Access,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let (name, first) = (name.clone(), AtomicUsize::new(0));
        let settings = registries.settings();
        Self { registries, settings, name, access, endpoints, first }
    }

    /// The repository.
    pub(crate) fn name(&self) -> &Reference {
        &self.name
    }

    /// How long and how often to try.
    pub(crate) fn patience(&self) -> &Patience {
        &self.settings.patience
    }

    /// Asks the mirror that was asked so far no more, since what it gave was wrong; false: it was
    /// no mirror.
    pub(crate) fn leave_mirror(&self) -> bool {
        let first = self.first.load(Ordering::Relaxed);
        let is_mirror = self.endpoints.get(first).is_some_and(|endpoint| endpoint.is_mirror);
        let another = is_mirror && first + 1 < self.endpoints.len();
        if another {
            self.first.fetch_max(first + 1, Ordering::Relaxed);
        }
        another
    }

    /// The address at `endpoint` of `path` below the repository.
    pub(super) fn url(&self, endpoint: &Endpoint, path: &str) -> Result<Url> {
        endpoint.url(&format!("{}/{path}", self.name.repository()))
    }

    /// Sends a request to the first endpoint that serves it. One that fails is not asked again.
    pub(super) async fn ask(
        &self,
        request: impl Fn(&Endpoint) -> Result<Request>,
    ) -> Result<Response, Failure> {
        Ok(self.ask_at(request).await?.1)
    }

    /// The same; says which endpoint it was.
    pub(super) async fn ask_at(
        &self,
        request: impl Fn(&Endpoint) -> Result<Request>,
    ) -> Result<(&Endpoint, Response), Failure> {
        let mut speaks_tls = None;
        let mut last = None;
        let first = self.first.load(Ordering::Relaxed);
        for (number, endpoint) in self.endpoints.iter().enumerate().skip(first) {
            if endpoint.base.scheme() == "http" && speaks_tls == Some(endpoint.authority()) {
                continue;
            }
            let failure = match self.send(endpoint, &request(endpoint)?).await {
                Ok(answer) => {
                    self.first.fetch_max(number, Ordering::Relaxed);
                    return Ok((endpoint, answer));
                }
                Err(failure) => failure,
            };
            let unreached = matches!(failure, Failure::Broken { connected: false, .. });
            if !unreached && endpoint.base.scheme() == "https" {
                speaks_tls = Some(endpoint.authority());
            }
            let of_us = matches!(failure, Failure::Ours(_));
            if of_us || !(endpoint.is_mirror || unreached) {
                return Err(failure);
            }
            tracing::info!(endpoint = %endpoint.base, ?failure, "trying the next endpoint");
            last = Some(failure);
        }
        Err(last.unwrap_or_else(|| {
            Failure::Wrong(format!("no endpoints found for {}", self.name.familiar()))
        }))
    }

    /// Sends a request to one endpoint, again while what went wrong may pass. A connection that
    /// doesn't come about isn't waited for.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request,
    ) -> Result<Response, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.send_once(endpoint, request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let unreached = matches!(failure, Failure::Broken { connected: false, .. });
            if unreached || !failure.is_passing() {
                return Err(failure);
            }
            let Some(wait) = self.patience().after(attempt, failure.retry_after()) else {
                return Err(failure);
            };
            tracing::debug!(?failure, ?wait, "trying again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Sends a request with what the endpoint wanted to see the last time, and again if it now
    /// wants to see something else. A token that was kept may have become too old.
    pub(super) async fn send_once(
        &self,
        endpoint: &Endpoint,
        request: &Request,
    ) -> Result<Response, Failure> {
        let known = lock(&endpoint.challenge).clone();
        let mut shown = match &known {
            Some(challenge) => self.proof(endpoint, request, challenge).await?,
            None => None,
        };
        for _ in 1..MOST_PROOFS {
            let answer = self.transmit(endpoint, request, shown.clone()).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return judged(answer).await;
            }
            // Whoever the registry sends on to must not ask for what is the registry's to see.
            if answer.url().origin() != endpoint.base.origin() {
                return judged(answer).await;
            }
            let Some(challenge) = choose(Challenge::of(answer.headers())) else {
                return judged(answer).await;
            };
            let wanted = self.wanted(endpoint, request, &challenge).filter(|_| shown.is_some());
            if let Some(wanted) = wanted {
                self.registries.tokens.forget(&wanted);
            }
            let proof = self.proof(endpoint, request, &challenge).await?;
            *lock(&endpoint.challenge) = Some(challenge);
            if proof.is_none() {
                return Err(Failure::NoCredentials { request: request.name() });
            }
            if proof == shown {
                return judged(answer).await;
            }
            shown = proof;
        }
        judged(self.transmit(endpoint, request, shown).await?).await
    }

    async fn transmit(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        proof: Option<HeaderValue>,
    ) -> Result<Response, Failure> {
        let client = match request.content {
            Content::Nothing | Content::Bytes(_) => &endpoint.client,
            Content::Stream(_) => &endpoint.sender,
        };
        let mut sent = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        // An upload goes where the registry says; what proves who we are goes to itself alone.
        let own = request.url.origin() == endpoint.base.origin();
        if let Some(proof) = proof.filter(|_| own) {
            sent = sent.header(AUTHORIZATION, proof);
        }
        sent = match &request.content {
            Content::Nothing => sent,
            Content::Bytes(bytes) => sent.body(bytes.clone()),
            Content::Stream(stream) => sent.body(stream()),
        };
        sent.send().await.map_err(|error| {
            // Whoever wasn't reached is called by its address alone, whatever it was to be asked.
            let name = match endpoint.url("") {
                Ok(url) if own && error.is_connect() => failure::name("GET", &url),
                _ => request.name(),
            };
            Failure::broken(&name, &error)
        })
    }

    /// What answers the challenge; none: we have nothing to show.
    async fn proof(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, Failure> {
        let text = match self.wanted(endpoint, request, challenge) {
            None => basic(endpoint),
            Some(_) if !endpoint.credentials.registry_token.is_empty() => {
                Some(format!("Bearer {}", endpoint.credentials.registry_token))
            }
            Some(wanted) => {
                let token = self.registries.tokens.get(&endpoint.client, wanted).await;
                Some(format!(
                    "Bearer {}",
                    token.map_err(|failure| failure.during(&request.name()))?
                ))
            }
        };
        Ok(text.as_deref().and_then(secret))
    }

    /// The token that a challenge wants; none: it wants a password.
    fn wanted(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        challenge: &Challenge,
    ) -> Option<Wanted> {
        let Challenge::Bearer { realm, service, .. } = challenge else { return None };
        let mut scopes = vec![self.access.scope(self.name.repository())];
        scopes.extend(request.also_read.as_deref().map(|other| Access::Pull.scope(other)));
        Some(Wanted {
            realm: realm.clone(),
            service: service.clone(),
            scopes,
            credentials: endpoint.credentials.clone(),
        })
    }
}

/// The challenge that we take: a token before a password.
pub(super) fn choose(challenges: Vec<Challenge>) -> Option<Challenge> {
    let basic = challenges.contains(&Challenge::Basic);
    let bearer = challenges.into_iter().find(|one| matches!(one, Challenge::Bearer { .. }));
    bearer.or(basic.then_some(Challenge::Basic))
}

fn basic(endpoint: &Endpoint) -> Option<String> {
    use base64::Engine as _;
    let (user, password) = endpoint.credentials.basic()?;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    Some(format!("Basic {pair}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

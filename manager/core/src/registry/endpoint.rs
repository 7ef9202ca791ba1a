//! Where a registry is reached.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

use super::Registries;
use super::certificates::tls_with_anyone;
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::mirrors::{HUB, Mirror};
use crate::error::{Error, Result};

/// Where the Hub is really served.
const HUB_HOST: &str = "registry-1.docker.io";
/// More redirects than any honest registry needs.
const MOST_REDIRECTS: usize = 10;
const AGENT: &str = concat!("tared/", env!("CARGO_PKG_VERSION"));

/// One place where a registry, or a mirror of it, may be reached.
pub(super) struct Endpoint {
    /// Its address, without `/v2`.
    pub(super) base: Url,
    pub(super) client: Client,
    /// For what is sent: nothing comes back while it goes, so that the next bytes of an answer may
    /// take their time. Whoever sends looks that it goes on.
    pub(super) sender: Client,
    /// What may be shown to it.
    pub(super) credentials: Credentials,
    /// Any of its failures lets the next one be asked.
    pub(super) is_mirror: bool,
    /// What it wanted to see the last time.
    pub(super) challenge: Mutex<Option<Challenge>>,
}

impl Endpoint {
    /// The address of `path` below `/v2/`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what can't be part of an address.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let text = format!("{}/v2/{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| Error::invalid(format!("the address {text}: {error}")))
    }

    /// `HOST[:PORT]`
    pub(super) fn authority(&self) -> String {
        authority(&self.base)
    }
}

/// Whether the certificate must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Proven,
    Anyone,
}

impl Registries {
    /// Where to ask for an image: mirrors, then the registry itself.
    pub(super) async fn endpoints_to_pull(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for mirror in self.settings().mirrors.of(registry) {
            endpoints.push(self.mirror(mirror).await?);
        }
        endpoints.extend(self.endpoints_to_push(registry, credentials).await?);
        Ok(endpoints)
    }

    /// Where to send an image: the registry itself. One that need not prove who it is may speak
    /// plain HTTP, too.
    pub(super) async fn endpoints_to_push(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Vec<Endpoint>> {
        let host = if registry == HUB { HUB_HOST } else { registry };
        let trust = self.trust(host).await;
        let schemes: &[&str] = match trust {
            Trust::Proven => &["https"],
            Trust::Anyone => &["https", "http"],
        };
        let endpoint = |scheme: &&str| {
            let base = Url::parse(&format!("{scheme}://{host}"));
            let base = base.map_err(|error| {
                Error::invalid(format!("the registry {registry} has no valid address: {error}"))
            })?;
            self.endpoint(base, credentials.clone(), trust, false)
        };
        schemes.iter().map(endpoint).collect()
    }

    async fn mirror(&self, mirror: &Mirror) -> Result<Endpoint> {
        let mut base = mirror.url().clone();
        // What its registry is shown is none of a mirror's business.
        let credentials = Credentials {
            username: decoded(base.username()),
            password: decoded(base.password().unwrap_or_default()),
            ..Credentials::default()
        };
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let trust = self.trust(&authority(&base)).await;
        self.endpoint(base, credentials, trust, true)
    }

    async fn trust(&self, host: &str) -> Trust {
        if self.settings().insecure.has(host).await { Trust::Anyone } else { Trust::Proven }
    }

    fn endpoint(
        &self,
        base: Url,
        credentials: Credentials,
        trust: Trust,
        is_mirror: bool,
    ) -> Result<Endpoint> {
        let stall = self.settings().patience.stall;
        let client = self.client(&base, trust, |client| client.read_timeout(stall))?;
        let sender = self.client(&base, trust, |client| client)?;
        Ok(Endpoint { base, client, sender, credentials, is_mirror, challenge: Mutex::new(None) })
    }

    /// What fetches files that belong to no registry.
    pub(super) fn web_client(&self, base: &Url) -> Result<Client> {
        let stall = self.settings().patience.stall;
        self.client(base, Trust::Proven, |client| client.read_timeout(stall))
    }

    fn client(
        &self,
        base: &Url,
        trust: Trust,
        more: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client> {
        let tls = match trust {
            Trust::Proven => {
                self.authorities.tls(&self.settings().certificates, &authority(base))?
            }
            Trust::Anyone => tls_with_anyone()?,
        };
        let patience = &self.settings().patience;
        let client = Client::builder()
            .user_agent(AGENT)
            .tls_backend_preconfigured(tls)
            .redirect(Policy::limited(MOST_REDIRECTS))
            .referer(false)
            .connect_timeout(patience.connect)
            .pool_idle_timeout(Duration::from_secs(15));
        let client = more(self.settings().proxies.apply(client)?);
        client.build().map_err(|error| Error::system(format!("set up HTTP: {error}")))
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A part of an address without its percent signs.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

//! Proxies on the way to registries.

use reqwest::{ClientBuilder, Proxy};

use super::without::Without;
use crate::error::{Error, Result};

/// Which requests go through which proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Domains and addresses, with a port or without, and networks that are reached without, by
    /// commas.
    pub without: Option<String>,
}

impl Proxies {
    /// Whether they can be used.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] names the first that cannot.
    pub fn check(&self) -> Result<()> {
        self.apply(ClientBuilder::new()).map(drop)
    }

    /// Makes the client use them, and no others.
    pub(super) fn apply(&self, mut client: ClientBuilder) -> Result<ClientBuilder> {
        client = client.no_proxy();
        let without = Without::parse(self.without.as_deref().unwrap_or_default());
        for (scheme, address) in [("http", &self.http), ("https", &self.https)] {
            let Some(address) = address.clone() else { continue };
            // What is wrong with the address would else be told by each request.
            Proxy::all(&address).map_err(|error| {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| error.without_url().to_string());
                let what = scheme.to_uppercase();
                Error::invalid(format!("the proxy for {what} can't be used: {reason}"))
            })?;
            let without = without.clone();
            client = client.proxy(Proxy::custom(move |url| {
                (url.scheme() == scheme && !without.has(url)).then(|| address.clone())
            }));
        }
        Ok(client)
    }
}

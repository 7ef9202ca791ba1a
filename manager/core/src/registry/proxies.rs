//! Proxies on the way to registries.

use reqwest::{ClientBuilder, NoProxy, Proxy};

use crate::error::{Error, Result};

/// What always is reached without a proxy: this machine.
const NEVER: &str = "localhost,127.0.0.0/8,::1";

/// Which requests go through which proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Hosts, domains, addresses and networks that are reached without, by commas.
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
        let without = match &self.without {
            Some(hosts) => format!("{NEVER},{hosts}"),
            None => NEVER.to_owned(),
        };
        let proxies = [
            self.http.as_ref().map(|address| ("HTTP", Proxy::http(address))),
            self.https.as_ref().map(|address| ("HTTPS", Proxy::https(address))),
        ];
        for (what, proxy) in proxies.into_iter().flatten() {
            let proxy = proxy.map_err(|error| {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| error.without_url().to_string());
                Error::invalid(format!("the proxy for {what} can't be used: {reason}"))
            })?;
            client = client.proxy(proxy.no_proxy(NoProxy::from_string(&without)));
        }
        Ok(client)
    }
}

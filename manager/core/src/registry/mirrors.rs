//! Mirrors: other places that have a registry's images.

use std::collections::BTreeMap;
use std::str::FromStr;

use reqwest::Url;

/// The name of the registry that images without one are in.
pub(super) const HUB: &str = "docker.io";

/// A place that has the images of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(Url);

/// The mirrors of each registry, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, Vec<Mirror>>);

impl Mirror {
    /// Its address. A user and a password in it are for the mirror alone.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&whole).map_err(|error| format!("invalid mirror {text}: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(format!("invalid mirror {text}: unsupported scheme {scheme:?}"));
        }
        if url.host_str().is_none() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("invalid mirror {text}: it must be http[s]://HOST[:PORT][/PATH]"));
        }
        Ok(Self(url))
    }
}

impl Mirrors {
    /// Adds a mirror of `registry`, to be asked after those that are there.
    pub fn add(&mut self, registry: &str, mirror: Mirror) {
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => HUB,
            other => other,
        };
        self.0.entry(registry.to_owned()).or_default().push(mirror);
    }

    /// The mirrors of `registry`.
    pub(super) fn of(&self, registry: &str) -> &[Mirror] {
        self.0.get(registry).map(Vec::as_slice).unwrap_or_default()
    }

    /// The addresses of the Hub's mirrors, as `docker info` shows them.
    pub fn of_the_hub(&self) -> Vec<String> {
        let shown = self.of(HUB).iter().map(|mirror| {
            let mut url = mirror.0.clone();
            // What is only for the mirror itself is not shown.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_https() {
        let mirror: Mirror = "mirror.test:5000/hub".parse().unwrap();
        assert_eq!(mirror.url().as_str(), "https://mirror.test:5000/hub");
        for wrong in ["ftp://mirror.test", "https://mirror.test/?a", "http://", "https://a/#b"] {
            assert!(wrong.parse::<Mirror>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_registry_has_its_own() {
        let mut mirrors = Mirrors::default();
        mirrors.add("index.docker.io", "a.test".parse().unwrap());
        mirrors.add("ghcr.io", "b.test".parse().unwrap());
        assert_eq!(mirrors.of_the_hub(), ["https://a.test/"]);
        assert_eq!(mirrors.of("ghcr.io")[0].url().host_str(), Some("b.test"));
        assert!(mirrors.of("quay.io").is_empty());
        mirrors.add(HUB, "https://user:secret@c.test".parse().unwrap());
        assert_eq!(mirrors.of_the_hub(), ["https://a.test/", "https://c.test/"]);
    }
}

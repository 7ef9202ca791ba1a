//! How volumes are made: the driver, and the options of the one that needs no plugin.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::size;

/// The name of the driver that is no plugin.
pub const LOCAL: &str = "local";

/// The options that it takes.
const OPTIONS: [&str; 4] = ["device", "o", "size", "type"];
/// Which of them mean nothing without which others.
const NEEDED: [(&str, &str); 4] =
    [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")];

/// What its user says about how a volume is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverConfig {
    /// The driver; empty: [`LOCAL`].
    pub name: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// What is mounted as a volume each time that containers begin to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) kind: String,
    pub(super) device: String,
    pub(super) options: String,
}

impl DriverConfig {
    /// The driver `name` without options.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), options: BTreeMap::new() }
    }

    /// Whether no plugin is asked for.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.name.as_str(), "" | LOCAL)
    }

    /// Refuses, in docker's words, options that make no sense for a volume of ours. `limits` tells
    /// whether a volume's size can be limited.
    ///
    /// # Errors
    /// Invalid for options that there aren't, or that miss others.
    pub(super) fn check(&self, limits: impl FnOnce() -> bool) -> Result<()> {
        let options = &self.options;
        if let Some(option) = options.keys().find(|option| !OPTIONS.contains(&option.as_str())) {
            return Err(Error::invalid(format!("invalid option: {option:?}")));
        }
        if let (Some("cifs"), Some(device)) =
            (options.get("type").map(String::as_str), options.get("device"))
            && server_of(device).contains(':')
        {
            return Err(Error::invalid(
                "port not allowed in CIFS device URL, include 'port' in 'o='",
            ));
        }
        if most(options)?.is_some() && !limits() {
            return Err(Error::invalid("quota size requested but no quota support"));
        }
        let missing = NEEDED
            .iter()
            .find(|(option, needs)| options.contains_key(*option) && !options.contains_key(*needs));
        match missing {
            Some((_, needs)) => Err(Error::invalid(format!("missing required option: {needs:?}"))),
            None => Ok(()),
        }
    }
}

/// The most bytes that a volume with these options may have, if there is a limit.
pub(super) fn most(options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    let most = options.get("size").map(|text| size::bytes(text)).transpose()?;
    Ok(most.filter(|bytes| *bytes > 0))
}

/// The server in the device of a share, with its port.
fn server_of(device: &str) -> &str {
    device.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// What the options of a volume say is mounted as it, if anything is.
pub(super) fn source(options: &BTreeMap<String, String>) -> Option<Source> {
    let option = |name| options.get(name).cloned().unwrap_or_default();
    let source = Source { kind: option("type"), device: option("device"), options: option("o") };
    (!source.kind.is_empty() || !source.device.is_empty()).then_some(source)
}

impl Source {
    /// The same with the names of servers turned into addresses, which is all that the kernel knows.
    /// Blocks.
    pub(super) fn resolved(mut self) -> Result<Self> {
        if !matches!(self.kind.as_str(), "nfs" | "nfs4" | "cifs") {
            return Ok(self);
        }
        let server = self.options.split(',').find_map(|option| option.strip_prefix("addr="));
        match server.map(str::to_owned) {
            Some(server) if server.parse::<Ipv4Addr>().is_err() => {
                let address = format!("addr={}", address_of(&server)?);
                self.options = self.options.replacen(&format!("addr={server}"), &address, 1);
            }
            Some(_) => {}
            None if self.kind == "cifs" => {
                let server = server_of(&self.device).to_owned();
                if !server.is_empty() && server.parse::<IpAddr>().is_err() {
                    self.device = self.device.replacen(&server, &address_of(&server)?, 1);
                }
            }
            None => {}
        }
        Ok(self)
    }

    /// Its options without what nobody is to read.
    pub(super) fn shown_options(&self) -> String {
        let hidden = |option: &str| match option.split_once('=') {
            Some(("password", _)) => "password=********".to_owned(),
            _ => option.to_owned(),
        };
        self.options.split(',').map(hidden).collect::<Vec<_>>().join(",")
    }
}

fn address_of(server: &str) -> Result<String> {
    let failed = |what: String| {
        Error::system(format!("error resolving passed in network volume address: {server}: {what}"))
    };
    let mut found = (server, 0).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    found.next().map(|address| address.ip().to_string()).ok_or_else(|| failed("no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &[(&str, &str)]) -> DriverConfig {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        DriverConfig { name: String::new(), options: options.iter().map(pair).collect() }
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_dockers_words() {
        let refused =
            |options: &[(&str, &str)]| config(options).check(|| false).unwrap_err().to_string();
        assert_eq!(refused(&[("colour", "red")]), "invalid option: \"colour\"");
        assert_eq!(refused(&[("o", "bind")]), "missing required option: \"device\"");
        assert_eq!(refused(&[("device", "/x")]), "missing required option: \"type\"");
        assert!(refused(&[("size", "1m")]).contains("no quota support"));
        let share = [("type", "cifs"), ("device", "//server:445/share")];
        assert!(refused(&share).contains("port not allowed in CIFS device URL"));
        config(&[("size", "1m")]).check(|| true).unwrap();
        for fine in [config(&[]), DriverConfig::named(LOCAL), config(&[("size", "0")])] {
            fine.check(|| false).unwrap();
        }
    }

    #[test]
    fn only_what_has_a_type_is_mounted() {
        assert_eq!(source(&BTreeMap::new()), None);
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")];
        assert_eq!(source(&config(&options).options).unwrap().options, "size=1m");
    }

    #[test]
    fn servers_get_addresses_and_passwords_stay_secret() {
        let source = |kind: &str, device: &str, options: &str| Source {
            kind: kind.to_owned(),
            device: device.to_owned(),
            options: options.to_owned(),
        };
        let named = source("nfs", ":/data", "addr=localhost,rw").resolved().unwrap();
        assert!(named.options == "addr=127.0.0.1,rw" || named.options == "addr=::1,rw");
        let kept = source("nfs", ":/data", "addr=10.0.0.1,rw");
        assert_eq!(kept.clone().resolved().unwrap(), kept);
        let share = source("cifs", "//127.0.0.1/share", "username=a,password=b");
        assert_eq!(share.shown_options(), "username=a,password=********");
        assert_eq!(share.resolved().unwrap().device, "//127.0.0.1/share");
    }
}

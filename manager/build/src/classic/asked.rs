//! What is asked of a classic build.

use std::collections::BTreeMap;

use tare_core::image::Reference;
use tare_core::registry::Credentials;
use tare_dockerfile::platform::Platform;

use crate::error::{Error, Result};
use crate::solve::{self, Allowed};

/// What is asked for, beside the context.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The path of the Dockerfile in the context; nothing: the usual one.
    pub dockerfile: String,
    /// The names that the image gets.
    pub names: Vec<Reference>,
    /// Where the context is, if the request doesn't bring it.
    pub remote: Option<String>,
    /// Nothing is taken from what was built before.
    pub no_cache: bool,
    /// The registry is asked for newer images, whatever is here.
    pub pull: bool,
    /// Values of arguments; none: it was named, and has no value.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The only images that steps may be taken from, if there are any.
    pub cache_from: Vec<String>,
    /// The stage that is wanted; nothing: the last.
    pub target: String,
    /// What is built for; nothing: this machine.
    pub platform: String,
    /// The network of commands; nothing: the usual one.
    pub network: String,
    /// Names of hosts for commands, as `name:address`.
    pub hosts: Vec<String>,
    /// What commands may use.
    pub limits: Limits,
    /// What may be shown to registries, by the name of each.
    pub credentials: BTreeMap<String, Credentials>,
}

/// What commands may use; zero and nothing: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of containers")]
pub struct Limits {
    pub memory: i64,
    pub memory_and_swap: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpus: String,
    pub memory_nodes: String,
    pub cgroup_parent: String,
    pub shm_size: i64,
    /// Name, soft limit, hard limit.
    pub ulimits: Vec<(String, i64, i64)>,
}

impl Limits {
    /// Those that only this builder has.
    pub(super) fn of_commands(&self) -> solve::Limits {
        solve::Limits {
            memory: self.memory,
            memory_swap: self.memory_and_swap,
            cpu_shares: u64::try_from(self.cpu_shares).unwrap_or_default(),
            cpu_quota: self.cpu_quota,
            cpu_period: u64::try_from(self.cpu_period).unwrap_or_default(),
            cpu_set: self.cpus.clone(),
            memory_set: self.memory_nodes.clone(),
        }
    }
}

/// The usual name of a Dockerfile.
pub(super) const DOCKERFILE: &str = "Dockerfile";

impl Asked {
    /// Finds what is wrong before anything is done.
    ///
    /// # Errors
    /// A platform that is none, a host without an address, a network that builds can't have.
    pub fn check(&self, here: &Platform) -> Result<()> {
        if !self.platform.is_empty() {
            Platform::parse(&self.platform, here)
                .map_err(|error| Error::invalid(error.to_string()))?;
        }
        for host in &self.hosts {
            self.host(host)?;
        }
        match self.network.as_str() {
            "" | "default" | "bridge" | "none" | "host" => Ok(()),
            other => Err(Error::unsupported(format!("the network mode {other:?} of a build"))),
        }
    }

    /// The path of the Dockerfile.
    pub(super) fn file(&self) -> &str {
        if self.dockerfile.is_empty() { DOCKERFILE } else { &self.dockerfile }
    }

    /// The same in the words of `BuildKit`'s front end.
    ///
    /// # Errors
    /// A host without an address.
    pub fn attributes(&self) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: String| _ = all.insert(name.to_owned(), value);
        set("filename", self.file().to_owned());
        if let Some(remote) = &self.remote {
            set("context", remote.clone());
        }
        for (name, value) in [("target", &self.target), ("platform", &self.platform)] {
            if !value.is_empty() {
                set(name, value.clone());
            }
        }
        for (name, value) in &self.arguments {
            if let Some(value) = value {
                set(&format!("build-arg:{name}"), value.clone());
            }
        }
        for (name, value) in &self.labels {
            set(&format!("label:{name}"), value.clone());
        }
        if self.no_cache {
            set("no-cache", String::new());
        }
        set("image-resolve-mode", if self.pull { "pull" } else { "local" }.to_owned());
        if matches!(self.network.as_str(), "host" | "none") {
            set("force-network-mode", self.network.clone());
        }
        if !self.hosts.is_empty() {
            let hosts: Vec<_> =
                self.hosts.iter().map(|host| self.host(host)).collect::<Result<_>>()?;
            let hosts = hosts.into_iter().map(|(name, address)| format!("{name}={address}"));
            set("add-hosts", hosts.collect::<Vec<_>>().join(","));
        }
        let limits = &self.limits;
        if limits.shm_size > 0 {
            set("shm-size", limits.shm_size.to_string());
        }
        if !limits.cgroup_parent.is_empty() {
            set("cgroup-parent", limits.cgroup_parent.clone());
        }
        let ulimits = limits.ulimits.iter();
        let ulimits: Vec<_> =
            ulimits.map(|(name, soft, hard)| format!("{name}={soft}:{hard}")).collect();
        if !ulimits.is_empty() {
            set("ulimit", ulimits.join(","));
        }
        Ok(all)
    }

    /// What commands may do.
    pub(super) fn allowed(&self) -> Allowed {
        Allowed { host_network: self.network == "host", insecure: false }
    }

    fn host<'a>(&self, host: &'a str) -> Result<(&'a str, &'a str)> {
        match host.split_once(':').or_else(|| host.split_once('=')) {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => Ok((name, address)),
            _ => Err(Error::invalid(format!("invalid host {host}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_said_in_buildkits_words() {
        let asked = Asked {
            arguments: [("A", Some("1")), ("B", None)]
                .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
                .into(),
            hosts: vec!["a:::1".to_owned(), "b:host-gateway".to_owned()],
            network: "none".to_owned(),
            limits: Limits { ulimits: vec![("nofile".to_owned(), 1, 2)], ..Limits::default() },
            ..Asked::default()
        };
        let attributes = asked.attributes().unwrap();
        let expected = [
            ("add-hosts", "a=::1,b=host-gateway"),
            ("build-arg:A", "1"),
            ("filename", "Dockerfile"),
            ("force-network-mode", "none"),
            ("image-resolve-mode", "local"),
            ("ulimit", "nofile=1:2"),
        ];
        assert!(
            attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected)
        );
    }

    #[test]
    fn what_is_wrong_is_found_at_once() {
        let here = Platform::new("linux", "amd64", "");
        let wrong = |asked: Asked| asked.check(&here).unwrap_err().message;
        let platform = wrong(Asked { platform: "foobar".to_owned(), ..Asked::default() });
        assert!(platform.contains("unknown operating system or architecture"), "{platform}");
        let hosts = vec!["alone".to_owned()];
        assert_eq!(wrong(Asked { hosts, ..Asked::default() }), "invalid host alone");
        let network = wrong(Asked { network: "container:x".to_owned(), ..Asked::default() });
        assert!(network.contains("container:x"), "{network}");
    }
}

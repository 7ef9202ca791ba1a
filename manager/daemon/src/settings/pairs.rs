//! Settings that are `NAME=VALUE` on the command line and an object in the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tare_core::config::Runtime;
use tare_core::container::Ulimit;

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub key: String,
    pub value: String,
}

/// An OCI runtime and its name: `NAME=PATH` on the command line, and in the file
/// `"NAME": {"path": "PATH", "runtimeArgs": ["ARGUMENT", ...]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedRuntime {
    pub name: String,
    pub runtime: Runtime,
}

/// A registry and its mirrors: `REGISTRY=URL[,URL]` on the command line, and in the file
/// `"REGISTRY": ["URL", ...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrored {
    pub registry: String,
    pub mirrors: Vec<String>,
}

impl FromStr for Mirrored {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((registry, mirrors)) if !registry.is_empty() && !mirrors.is_empty() => {
                let mirrors = mirrors.split(',').map(str::to_owned).collect();
                Ok(Self { registry: registry.to_owned(), mirrors })
            }
            _ => Err("it must be REGISTRY=URL".to_owned()),
        }
    }
}

/// A switch of docker's: `NAME` or `NAME=BOOL` on the command line, and in the file
/// `"NAME": BOOL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub name: String,
    pub enabled: bool,
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, "true"));
        let enabled = value.parse().map_err(|_| "it must be NAME=true or NAME=false")?;
        Ok(Self { name: name.to_owned(), enabled })
    }
}

impl Entry for Feature {
    type Value = bool;

    fn join(name: String, enabled: bool) -> Self {
        Self { name, enabled }
    }

    fn split(&self) -> (&str, bool) {
        (&self.name, self.enabled)
    }
}

/// Options of all networks of a driver: `DRIVER=OPTION=VALUE` on the command line, and in the file
/// `"DRIVER": {"OPTION": "VALUE", ...}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkOptions {
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

impl FromStr for NetworkOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (driver, option) = text.split_once('=').ok_or("it must be DRIVER=OPTION=VALUE")?;
        let Pair { key, value } = option.parse().map_err(|_| "it must be DRIVER=OPTION=VALUE")?;
        Ok(Self { driver: driver.to_owned(), options: [(key, value)].into() })
    }
}

/// A limit of processes: `NAME=SOFT[:HARD]` on the command line, and in the file
/// `"NAME": {"Name": "NAME", "Soft": SOFT, "Hard": HARD}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedUlimit(pub Ulimit);

/// A limit as the file has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct FileUlimit {
    #[serde(default)]
    name: String,
    soft: i64,
    hard: i64,
}

impl FromStr for NamedUlimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limits) = text.split_once('=').ok_or("it must be NAME=SOFT[:HARD]")?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text:?} is no number"));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(format!("the soft limit {soft} is above the hard one, {hard}"));
        }
        Ok(Self(Ulimit { name: name.to_owned(), soft, hard }))
    }
}

impl Entry for NamedUlimit {
    type Value = FileUlimit;

    fn join(key: String, value: FileUlimit) -> Self {
        let FileUlimit { name, soft, hard } = value;
        let name = if name.is_empty() { key } else { name };
        Self(Ulimit { name, soft, hard })
    }

    fn split(&self) -> (&str, FileUlimit) {
        let Ulimit { name, soft, hard } = self.0.clone();
        (&self.0.name, FileUlimit { name, soft, hard })
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl FromStr for NamedRuntime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                let runtime = Runtime { path: PathBuf::from(path), arguments: Vec::new() };
                Ok(Self { name: name.to_owned(), runtime })
            }
            _ => Err("it must be NAME=PATH".to_owned()),
        }
    }
}

/// An entry of an object in the file.
pub(super) trait Entry: Sized {
    /// The value that goes with the name.
    type Value: Serialize + for<'a> Deserialize<'a>;
    /// Puts a name and its value together.
    fn join(name: String, value: Self::Value) -> Self;
    /// Takes them apart.
    fn split(&self) -> (&str, Self::Value);
}

impl Entry for Pair {
    type Value = String;

    fn join(key: String, value: String) -> Self {
        Self { key, value }
    }

    fn split(&self) -> (&str, String) {
        (&self.key, self.value.clone())
    }
}

impl Entry for NamedRuntime {
    type Value = FileRuntime;

    fn join(name: String, value: FileRuntime) -> Self {
        let runtime = Runtime { path: value.path, arguments: value.runtime_args };
        Self { name, runtime }
    }

    fn split(&self) -> (&str, FileRuntime) {
        let Runtime { path, arguments } = self.runtime.clone();
        (&self.name, FileRuntime { path, runtime_args: arguments })
    }
}

impl Entry for Mirrored {
    type Value = Vec<String>;

    fn join(registry: String, mirrors: Vec<String>) -> Self {
        Self { registry, mirrors }
    }

    fn split(&self) -> (&str, Vec<String>) {
        (&self.registry, self.mirrors.clone())
    }
}

/// A runtime as the file has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileRuntime {
    path: PathBuf,
    #[serde(default)]
    runtime_args: Vec<String>,
}

/// Reads and writes a list of entries as an object, for serde.
pub(super) mod option_map {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Entry;

    pub(crate) fn serialize<E: Entry, S: Serializer>(
        entries: &Option<Vec<E>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let object: Option<BTreeMap<&str, E::Value>> =
            entries.as_ref().map(|entries| entries.iter().map(Entry::split).collect());
        object.serialize(serializer)
    }

    pub(crate) fn deserialize<'a, E: Entry, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Option<Vec<E>>, D::Error> {
        let object: Option<BTreeMap<String, E::Value>> = Option::deserialize(deserializer)?;
        Ok(object
            .map(|object| object.into_iter().map(|(name, value)| E::join(name, value)).collect()))
    }
}

/// Reads and writes options of networks as an object, for serde.
pub(super) mod network_options {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::NetworkOptions;

    type Object = BTreeMap<String, BTreeMap<String, String>>;

    pub(crate) fn serialize<S: Serializer>(
        all: &Option<Vec<NetworkOptions>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let together = |all: &Vec<NetworkOptions>| {
            let mut object = Object::new();
            for NetworkOptions { driver, options } in all {
                object.entry(driver.clone()).or_default().extend(options.clone());
            }
            object
        };
        all.as_ref().map(together).serialize(serializer)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Option<Vec<NetworkOptions>>, D::Error> {
        let object: Option<Object> = Option::deserialize(deserializer)?;
        let one = |(driver, options)| NetworkOptions { driver, options };
        Ok(object.map(|object| object.into_iter().map(one).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_needs_its_equals_sign() {
        let pair: Pair = "max-size=10m".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("max-size", "10m"));
        assert!("max-size".parse::<Pair>().is_err());
        assert!("=/usr/bin/crun".parse::<NamedRuntime>().is_err());
        let ulimit: NamedUlimit = "nofile=1024:2048".parse().unwrap();
        assert_eq!((ulimit.0.soft, ulimit.0.hard), (1024, 2048));
        assert!("nofile=2:1".parse::<NamedUlimit>().is_err());
        assert!("nofile=many".parse::<NamedUlimit>().is_err());
        let network: NetworkOptions = "bridge=com.docker.network.driver.mtu=1400".parse().unwrap();
        assert_eq!(network.options["com.docker.network.driver.mtu"], "1400");
        assert!("bridge=x".parse::<NetworkOptions>().is_err());
    }
}

//! Settings that are `NAME=VALUE` on the command line and an object in the file.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tare_core::config::Runtime;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_needs_its_equals_sign() {
        let pair: Pair = "max-size=10m".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("max-size", "10m"));
        assert!("max-size".parse::<Pair>().is_err());
        assert!("=/usr/bin/crun".parse::<NamedRuntime>().is_err());
    }
}

//! What a container's user asks to have mounted: binds, volumes and tmpfs, in docker's two forms.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::volume::check_name;

/// A `-v` argument with a source: `/src:/dst[:options]` or `name:/dst[:options]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bind {
    /// A path on the host, or a volume's name.
    pub source: BindSource,
    /// The path inside; absolute.
    pub target: String,
    /// The options as written: `ro,z`.
    pub mode: String,
    /// Mounted so that it can't be written.
    pub read_only: bool,
    /// How mounts below it spread.
    pub propagation: Option<Propagation>,
    /// Leave a new volume empty instead of copying the image's content into it.
    pub no_copy: bool,
}

/// Where a [`Bind`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindSource {
    /// An absolute path on the host.
    Path(String),
    /// A named volume.
    Volume(String),
}

/// How mount and unmount events spread between a mount and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Not at all, for all mounts below too.
    Rprivate,
    /// Both ways.
    Shared,
    /// Both ways, for all mounts below too.
    Rshared,
    /// From the host into the container.
    Slave,
    /// From the host into the container, for all mounts below too.
    Rslave,
}

/// A `--mount` argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// The path inside; absolute.
    pub target: String,
    /// Mounted so that it can't be written.
    pub read_only: bool,
    /// What is mounted.
    pub kind: MountKind,
}

/// What a [`MountRequest`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A path on the host.
    Bind {
        /// The path.
        source: String,
        /// How mounts below it spread.
        propagation: Option<Propagation>,
        /// Leave out what is mounted below the source.
        non_recursive: bool,
        /// Make a directory of the source if it isn't there.
        create_source: bool,
        /// Only the top mount is read-only, not those below.
        read_only_non_recursive: bool,
        /// Refuse if mounts below can't be made read-only too.
        read_only_force_recursive: bool,
    },
    /// A volume; no name: a new one of the container's own.
    Volume {
        /// The volume's name.
        name: Option<String>,
        /// Leave a new volume empty.
        no_copy: bool,
        /// What a new volume is labelled with.
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        /// Its size in bytes.
        size: Option<u64>,
        /// The mode of its root directory.
        mode: Option<u32>,
    },
}

impl FromStr for Propagation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "private" => Ok(Self::Private),
            "rprivate" => Ok(Self::Rprivate),
            "shared" => Ok(Self::Shared),
            "rshared" => Ok(Self::Rshared),
            "slave" => Ok(Self::Slave),
            "rslave" => Ok(Self::Rslave),
            _ => Err(Error::invalid(format!("invalid propagation mode: {text}"))),
        }
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        })
    }
}

impl FromStr for Bind {
    type Err = Error;

    /// Reads one element of docker's `Binds`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("invalid volume specification: '{text}'"));
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let mode = parts.next().unwrap_or_default();
        if parts.next().is_some() || source.is_empty() || !target.starts_with('/') {
            return Err(wrong());
        }
        if target.split('/').all(str::is_empty) {
            return Err(Error::invalid(format!(
                "invalid volume specification: '{text}': invalid mount config for type \"bind\": \
                 invalid specification: destination can't be '/'"
            )));
        }
        let source = if source.starts_with('/') {
            BindSource::Path(source.to_owned())
        } else {
            BindSource::Volume(check_name(source)?.to_owned())
        };
        let mut bind = Self {
            source,
            target: target.to_owned(),
            mode: mode.to_owned(),
            read_only: false,
            propagation: None,
            no_copy: false,
        };
        for option in mode.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => bind.read_only = true,
                // Relabelling has no meaning without SELinux; consistency has none on Linux.
                "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                "nocopy" => bind.no_copy = true,
                other => match other.parse() {
                    Ok(propagation) if bind.propagation.is_none() => {
                        bind.propagation = Some(propagation);
                    }
                    _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
                },
            }
        }
        Ok(bind)
    }
}

impl fmt::Display for BindSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(text) | Self::Volume(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.target)?;
        if self.mode.is_empty() { Ok(()) } else { write!(f, ":{}", self.mode) }
    }
}

impl TryFrom<String> for Bind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Bind> for String {
    fn from(bind: Bind) -> Self {
        bind.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_read_back_as_written() {
        for text in ["/a:/b", "/a:/b:ro", "data:/b:nocopy", "/a:/b:ro,rshared,z"] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
        let bind: Bind = "/a:/b:ro,rslave".parse().unwrap();
        assert!(bind.read_only);
        assert_eq!(bind.propagation, Some(Propagation::Rslave));
    }

    #[test]
    fn what_is_no_bind_is_refused() {
        for text in ["/a", "/a:b", ":/b", "/a:/b:ro:x", "/a:/", "/a:/b:wx", "../a:/b", "a:/b"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }
}

//! What a container's user asks to have mounted: binds, volumes, tmpfs and images, in docker's two
//! forms.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mount_mode::Options;
use super::settle::clean;
use crate::error::{Error, Result};
use crate::volume::{DriverConfig, check_name};

/// An element of docker's `Binds`: `/src:/dst[:options]`, `name:/dst[:options]` or `/dst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bind {
    /// What is mounted.
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
    /// A new volume of the container's own.
    Anonymous,
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
    /// A volume.
    Volume(VolumeMount),
    /// Memory.
    Tmpfs {
        /// Its size in bytes.
        size: Option<u64>,
        /// The mode of its root directory.
        mode: Option<u32>,
        /// More options: `exec` and `noexec`, each as its user's list of one or two words.
        #[serde(default)]
        options: Vec<Vec<String>>,
    },
    /// The files of an image, which can't be written.
    Image {
        /// The image as its user named it.
        image: String,
        /// What of it is mounted; none: all.
        subpath: Option<String>,
    },
}

/// A volume to be mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name; none: a new one of the container's own.
    pub name: Option<String>,
    /// Leave a new volume empty.
    pub no_copy: bool,
    /// What a new volume is labelled with.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What of it is mounted; none: all.
    #[serde(default)]
    pub subpath: Option<String>,
    /// How a new volume is made.
    #[serde(default)]
    pub driver: Option<DriverConfig>,
}

impl MountKind {
    /// Docker's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Volume(_) => "volume",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Image { .. } => "image",
        }
    }
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
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [target] => ("", *target, ""),
            // A volume without a name has no options.
            [_, mode] if Options::parse(mode).is_ok() => return Err(wrong()),
            [source, target] => (*source, *target, ""),
            [source, target, mode] => (*source, *target, *mode),
            _ => return Err(wrong()),
        };
        if parts.first().is_none_or(|first| first.is_empty()) {
            return Err(wrong());
        }
        let options = Options::parse(mode)?;
        let (kind, source) = match source {
            "" => ("volume", BindSource::Anonymous),
            path if path.starts_with('/') => ("bind", BindSource::Path(path.to_owned())),
            name => ("volume", BindSource::Volume(name.to_owned())),
        };
        check_target(target).and_then(|()| options.check(&source)).map_err(|what| {
            let what = format!("invalid mount config for type \"{kind}\": {what}");
            Error::invalid(what).while_doing(format!("invalid volume specification: '{text}'"))
        })?;
        if let BindSource::Volume(name) = &source {
            check_name(name)?;
        }
        Ok(Self {
            source,
            target: target.to_owned(),
            mode: mode.to_owned(),
            read_only: options.read_only,
            propagation: options.propagation,
            no_copy: options.no_copy,
        })
    }
}

/// Whether something can be mounted at `target`; what is wrong is said in docker's words.
pub(super) fn check_target(target: &str) -> std::result::Result<(), String> {
    if target.is_empty() {
        return Err("field Target must not be empty".to_owned());
    }
    if target.starts_with('/') && clean(target) == "/" {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    check_absolute(target)
}

/// Whether `path` is absolute.
pub(super) fn check_absolute(path: &str) -> std::result::Result<(), String> {
    if path.starts_with('/') {
        return Ok(());
    }
    Err(format!("invalid mount path: '{path}' mount path must be absolute"))
}

impl fmt::Display for BindSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(text) | Self::Volume(text) => f.write_str(text),
            Self::Anonymous => Ok(()),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            BindSource::Anonymous => f.write_str(&self.target)?,
            source => write!(f, "{source}:{}", self.target)?,
        }
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
        for text in ["/a:/b", "/a:/b:ro", "data:/b:nocopy", "/a:/b:ro,rshared,z", "/a"] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
        let bind: Bind = "/a:/b:ro,rslave".parse().unwrap();
        assert!(bind.read_only);
        assert_eq!(bind.propagation, Some(Propagation::Rslave));
    }

    #[test]
    fn what_is_no_bind_is_refused() {
        for text in
            ["/a:ro", "/a:b", ":/b", "/a:/b:ro:x", "/a:/", "/a:/b:wx", "../a:/b", "a:/b", ""]
        {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
        let refused = |text: &str| text.parse::<Bind>().unwrap_err().to_string();
        assert_eq!(
            refused("/a:b"),
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid \
             mount path: 'b' mount path must be absolute"
        );
        assert!(refused("data:/b:rslave").ends_with("field BindOptions must not be specified"));
        assert!(refused("/a:/b:nocopy").ends_with("field VolumeOptions must not be specified"));
    }
}

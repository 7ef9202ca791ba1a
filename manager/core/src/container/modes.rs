//! Whose namespaces a container lives in, by docker's words for them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which network a container is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum NetworkMode {
    /// The default network, which is the bridge.
    #[default]
    Default,
    /// The bridge, named by its user.
    Bridge,
    /// The host's own network stack.
    Host,
    /// A stack of its own with only a loopback interface.
    None,
    /// The stack of another container, by name or id.
    Container(String),
    /// A network by its name or id.
    Named(String),
}

/// Whose System V IPC objects and /dev/shm a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// The manager's default, which is private.
    #[default]
    Default,
    /// Its own, with no /dev/shm.
    None,
    /// Its own.
    Private,
    /// Its own, which other containers may join.
    Shareable,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// Whose processes a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// Whose host name a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UtsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// Whose cgroup tree a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupnsMode {
    /// Private where the host has pure cgroup v2, the host's elsewhere.
    #[default]
    Default,
    /// Its own.
    Private,
    /// The host's.
    Host,
}

/// Whose users a container's are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsernsMode {
    /// The manager's default: those of a namespace of its own if it remaps users, or else the host's.
    #[default]
    Default,
    /// The host's.
    Host,
}

impl NetworkMode {
    /// Whether the container gets a network stack of its own.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Host | Self::Container(_) => false,
            Self::Default | Self::Bridge | Self::None | Self::Named(_) => true,
        }
    }
}

impl From<String> for NetworkMode {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" | "default" => Self::Default,
            "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(container) => Self::Container(container.to_owned()),
                None => Self::Named(text),
            },
        }
    }
}

impl FromStr for NetworkMode {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

impl From<NetworkMode> for String {
    fn from(mode: NetworkMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Bridge => f.write_str("bridge"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(container) => write!(f, "container:{container}"),
            Self::Named(network) => f.write_str(network),
        }
    }
}

impl FromStr for IpcMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Default),
            "none" => Ok(Self::None),
            "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "host" => Ok(Self::Host),
            _ => match text.strip_prefix("container:") {
                Some(container) if !container.is_empty() => {
                    Ok(Self::Container(container.to_owned()))
                }
                _ => Err(Error::invalid(format!("invalid IPC mode: {text}"))),
            },
        }
    }
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::None => f.write_str("none"),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::Host => f.write_str("host"),
            Self::Container(container) => write!(f, "container:{container}"),
        }
    }
}

impl FromStr for PidMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => match text.strip_prefix("container:") {
                Some(container) if !container.is_empty() => {
                    Ok(Self::Container(container.to_owned()))
                }
                _ => Err(Error::invalid(format!("invalid PID mode: {text}"))),
            },
        }
    }
}

impl fmt::Display for PidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Container(container) => write!(f, "container:{container}"),
        }
    }
}

impl FromStr for UtsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(Error::invalid(format!("invalid UTS mode: {text}"))),
        }
    }
}

impl fmt::Display for UtsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "",
            Self::Host => "host",
        })
    }
}

impl FromStr for CgroupnsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Default),
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(Error::invalid(format!("invalid cgroup namespace mode: {text}"))),
        }
    }
}

impl fmt::Display for CgroupnsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Private => "private",
            Self::Host => "host",
        })
    }
}

impl FromStr for UsernsMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Default),
            "host" => Ok(Self::Host),
            _ => Err(Error::invalid(format!("invalid userns mode: {text}"))),
        }
    }
}

impl fmt::Display for UsernsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Host => "host",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_back_as_written() {
        for text in ["default", "bridge", "host", "none", "container:web", "mine"] {
            assert_eq!(NetworkMode::from(text.to_owned()).to_string(), text);
        }
        for text in ["", "none", "private", "shareable", "host", "container:web"] {
            assert_eq!(text.parse::<IpcMode>().unwrap().to_string(), text);
        }
        for text in ["", "host", "container:web"] {
            assert_eq!(text.parse::<PidMode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_modes_are_refused() {
        assert!("container:".parse::<PidMode>().is_err());
        assert!("hots".parse::<IpcMode>().is_err());
        assert!("x".parse::<UtsMode>().is_err());
        assert!("x".parse::<CgroupnsMode>().is_err());
        assert!("private".parse::<UsernsMode>().is_err());
    }
}

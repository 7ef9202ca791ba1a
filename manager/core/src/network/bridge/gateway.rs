//! How the containers on a bridge and the outside reach each other.

use serde::{Deserialize, Serialize};

use super::settings::unread;
use crate::error::Result;

/// How the containers on a bridge and the outside reach each other, for one kind of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) enum GatewayMode {
    /// Containers are behind the host's address; what they publish is reached there, and nothing
    /// else is.
    #[default]
    Nat,
    /// The same, but whoever has a route to a container reaches all of its ports.
    Unprotected,
    /// Containers have their own addresses outside. What they publish is reached there by whoever
    /// has a route.
    Routed,
    /// The host has no address on the bridge.
    Isolated,
}

impl GatewayMode {
    /// Reads docker's word for it.
    ///
    /// # Errors
    /// `Invalid` for another one.
    pub(super) fn read(key: &str, value: &str) -> Result<Self> {
        match value {
            "nat" => Ok(Self::Nat),
            "nat-unprotected" => Ok(Self::Unprotected),
            "routed" => Ok(Self::Routed),
            "isolated" => Ok(Self::Isolated),
            _ => Err(unread(key, value, &format!("unknown gateway mode {value}"))),
        }
    }

    /// Whether containers' packets leave under the host's address, if nothing else is said.
    pub(in crate::network) fn hides(self) -> bool {
        match self {
            Self::Nat | Self::Unprotected => true,
            Self::Routed | Self::Isolated => false,
        }
    }

    /// Whether published ports are reached at containers' own addresses alone.
    pub(in crate::network) fn is_routed(self) -> bool {
        match self {
            Self::Routed => true,
            Self::Nat | Self::Unprotected | Self::Isolated => false,
        }
    }

    /// Whether the host has an address there.
    pub(in crate::network) fn has_gateway(self) -> bool {
        match self {
            Self::Nat | Self::Unprotected | Self::Routed => true,
            Self::Isolated => false,
        }
    }
}

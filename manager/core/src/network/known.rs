//! One network: what makes it that one, its driver, and whether it is still there.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::driver::{Driver, Plan};
use super::family::ByFamily;
use super::info::{Ipam, Subnet};
use crate::error::{Error, Kind, Result};
use crate::store::Table;

/// The networks that users have made, by id.
pub(super) const DEFINITIONS: Table<Definition> = Table::new("user_networks");

/// A network that a user has made, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) labels: BTreeMap<String, String>,
    /// As its user gave them.
    pub(super) options: BTreeMap<String, String>,
    pub(super) ipam: Ipam,
    pub(super) families: ByFamily<bool>,
    pub(super) attachable: bool,
    pub(super) plan: Plan,
    pub(super) subnets: Vec<Subnet>,
    /// The network that it was made from.
    pub(super) config_from: Option<String>,
}

impl Definition {
    /// Whether its containers reach nothing else.
    pub(super) fn is_internal(&self) -> bool {
        self.plan.is_internal()
    }
}

/// A network.
pub(super) struct Network {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) driver: Driver,
    /// None: it is always there.
    pub(super) definition: Option<Definition>,
    presence: RwLock<Presence>,
}

/// Whether a network is there for who found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Removed,
}

impl Network {
    /// A network that is there.
    pub(super) fn new(
        id: String,
        name: String,
        created: Timestamp,
        driver: Driver,
        definition: Option<Definition>,
    ) -> Self {
        Self { id, name, created, driver, definition, presence: RwLock::new(Presence::There) }
    }

    /// Keeps it from being removed.
    ///
    /// # Errors
    /// `NotFound` if it has been.
    pub(super) fn stay(&self) -> Result<impl Drop + use<'_>> {
        let presence = self.presence.read().unwrap_or_else(PoisonError::into_inner);
        match *presence {
            Presence::There => Ok(Stay { _presence: presence }),
            Presence::Removed => Err(not_found(&self.name)),
        }
    }

    /// Removes it for who finds it from now on, unless `is_in_use` says by whom it is used.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] if it is in use, `NotFound` if it has been removed.
    pub(super) fn leave(&self, is_in_use: impl FnOnce() -> Option<String>) -> Result<()> {
        let mut presence = self.presence.write().unwrap_or_else(PoisonError::into_inner);
        if *presence == Presence::Removed {
            return Err(not_found(&self.name));
        }
        match is_in_use() {
            None => {
                *presence = Presence::Removed;
                Ok(())
            }
            Some(users) => Err(Error::new(
                Kind::Forbidden,
                format!("network {} has active endpoints ({users})", self.name),
            )),
        }
    }

    /// Whether it is only what others are made from.
    pub(super) fn is_template(&self) -> bool {
        self.definition.as_ref().is_some_and(|definition| definition.plan == Plan::Template)
    }

    /// Whether containers find each other by their names on it.
    pub(super) fn has_names(&self) -> bool {
        self.definition.is_some()
    }
}

struct Stay<'a> {
    _presence: RwLockReadGuard<'a, Presence>,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {}
}

/// There is no network with this name or id.
pub(super) fn not_found(name_or_id: &str) -> Error {
    Error::not_found(format!("network {name_or_id} not found"))
}

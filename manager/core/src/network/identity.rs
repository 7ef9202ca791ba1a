//! The ids of networks, which stay the same as long as the data root does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::{Store, Table};

/// By the network's name.
const NETWORKS: Table<Identity> = Table::new("networks");

/// What makes a network that one and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// When it was first made.
    pub(super) created: Timestamp,
}

/// The identity of the network `name`, which it gets now if it has none yet.
pub(super) fn of(store: &Store, name: &str) -> Result<Identity> {
    if let Some(identity) = store.get(&NETWORKS, name)? {
        return Ok(identity);
    }
    let identity = Identity { id: random(), created: Timestamp::now() };
    store.write(|change| change.put(&NETWORKS, name, &identity))?;
    Ok(identity)
}

/// A new id.
pub(super) fn random() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

//! Limits that were changed while the container ran: its bundle doesn't know of them, and its next
//! run must have them too.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::error::{Context, Result};

/// All changes so far, as one: OCI LinuxResources.
#[derive(Debug, Default)]
pub(super) struct Limits {
    changes: Mutex<Option<Value>>,
}

impl Limits {
    /// Adds a change, OCI LinuxResources as JSON.
    pub(super) fn add(&self, resources: &[u8]) -> Result<()> {
        let newer =
            serde_json::from_slice(resources).context(|| "understand the resources".to_owned())?;
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *changes {
            Some(older) => overlay(older, newer),
            None => *changes = Some(newer),
        }
        Ok(())
    }

    /// What is to be said to the runtime, if anything was changed.
    pub(super) fn get(&self) -> Option<Vec<u8>> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.as_ref().map(|changes| changes.to_string().into_bytes())
    }
}

/// Lays what `newer` has over `older`: objects member by member, all else whole.
fn overlay(older: &mut Value, newer: Value) {
    match (older, newer) {
        (Value::Object(older), Value::Object(newer)) => {
            for (name, value) in newer {
                overlay(older.entry(name).or_insert(Value::Null), value);
            }
        }
        // It says nothing of this.
        (_, Value::Null) => {}
        (older, newer) => *older = newer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_are_laid_over_earlier_ones() {
        let limits = Limits::default();
        assert_eq!(limits.get(), None);
        limits.add(br#"{"memory":{"limit":1,"swap":2},"cpu":{"shares":3}}"#).unwrap();
        limits.add(br#"{"memory":{"limit":4},"cpu":null,"pids":{"limit":5}}"#).unwrap();
        let all: Value = serde_json::from_slice(&limits.get().unwrap()).unwrap();
        let expected = serde_json::json!({
            "memory": {"limit": 4, "swap": 2}, "cpu": {"shares": 3}, "pids": {"limit": 5},
        });
        assert_eq!(all, expected);
        assert!(limits.add(b"{").is_err());
    }
}

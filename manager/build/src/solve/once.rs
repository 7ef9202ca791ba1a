//! What is done once for a build, whoever of its parts asks for it first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::error::Result;

/// A result, once it is there.
type Cell<T> = Arc<OnceCell<Result<T>>>;

/// Results by what they are of. What failed has failed for all who ask.
pub(super) struct Once<K, T>(Mutex<HashMap<K, Cell<T>>>);

impl<K, T> Default for Once<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Once<K, T> {
    /// The result of `work`, which is done if nobody has asked for it before.
    pub(super) async fn get(&self, key: K, work: impl Future<Output = Result<T>>) -> Result<T> {
        let cell = Arc::clone(self.lock().entry(key).or_default());
        cell.get_or_init(|| work).await.clone()
    }

    /// What is there by now and has not failed.
    pub(super) fn there(&self) -> Vec<(K, T)> {
        let all = self.lock();
        let there = all.iter().filter_map(|(key, cell)| {
            let value = cell.get()?.as_ref().ok()?;
            Some((key.clone(), value.clone()))
        });
        there.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Cell<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn it_is_done_once_even_if_it_fails() {
        let once = Once::default();
        assert_eq!(once.get("a", async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(once.get("a", async { Ok(2) }).await.unwrap(), 1);
        assert!(once.get("b", async { Err(Error::invalid("wrong")) }).await.is_err());
        assert!(once.get("b", async { Ok(2) }).await.is_err());
        assert_eq!(once.there(), [("a", 1)]);
    }
}

//! How Go writes JSON, where that differs from how one would: absent lists are `null`, sets are
//! objects of empty objects.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Serialises an empty list or map as `null`.
pub(crate) fn null_if_empty<S, T>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize + IsEmpty,
{
    if value.is_empty() { serializer.serialize_none() } else { value.serialize(serializer) }
}

/// What has nothing in it.
pub(crate) trait IsEmpty {
    /// Whether it has nothing in it.
    fn is_empty(&self) -> bool;
}

impl<T> IsEmpty for Vec<T> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<K, V> IsEmpty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

impl<T: IsEmpty> IsEmpty for &T {
    fn is_empty(&self) -> bool {
        T::is_empty(self)
    }
}

/// The value of each element of a set: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Empty {}

/// A set as Go writes it.
pub(crate) type Set = BTreeMap<String, Empty>;

/// A set of these elements.
pub(crate) fn set<T: ToString>(elements: impl IntoIterator<Item = T>) -> Set {
    elements.into_iter().map(|element| (element.to_string(), Empty {})).collect()
}

//! Variables and their values.

use std::collections::HashMap;

/// Variables in the order in which they were last set.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    values: HashMap<String, Value>,
    /// How many times something has been set.
    turns: usize,
}

#[derive(Debug, Clone)]
struct Value {
    text: String,
    turn: usize,
}

impl Environment {
    /// Sets `name`; it is the last one then, even if it was set before.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.turns += 1;
        let value = Value { text: value.into(), turn: self.turns };
        self.values.insert(name.into(), value);
    }

    /// The value of `name`, which may be empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.text.as_str())
    }

    /// All names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.pairs().into_iter().map(|(name, _)| name).collect()
    }

    /// All names with their values, in order.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let mut found: Vec<(&String, &Value)> = self.values.iter().collect();
        found.sort_unstable_by_key(|(_, value)| value.turn);
        found.into_iter().map(|(name, value)| (name.as_str(), value.text.as_str())).collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            environment.set(name, value);
        }
        environment
    }
}

/// The name and the value of `NAME=VALUE`, as configurations of images have them.
pub(crate) fn split(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_again_is_last() {
        let mut environment: Environment = [("A", "1"), ("B", "2")].into_iter().collect();
        environment.set("A", "3");
        assert_eq!(environment.pairs(), [("B", "2"), ("A", "3")]);
        assert_eq!((environment.get("B"), environment.get("C")), (Some("2"), None));
        assert_eq!((split("A=b=c"), split("A")), (("A", "b=c"), ("A", "")));
    }
}

//! Values that are read more loosely than their type says.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What a field says that can't be honoured. The field's name is put before it.
const REFUSED: &str = "not supported by this version of tared";

/// A field that this version has no use for: it must be empty, zero, or -1 (which docker's clients
/// send for "no limit").
#[derive(Debug)]
pub(super) struct Unset;

impl<'de> Deserialize<'de> for Unset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if is_unset(&value) { Ok(Self) } else { Err(D::Error::custom(REFUSED)) }
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => matches!(number.as_i64(), Some(0 | -1)),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// What a client should know of the fields at these paths, which nobody reads.
pub(crate) fn unknown(paths: Vec<String>) -> impl Iterator<Item = String> {
    paths
        .into_iter()
        .map(|path| format!("{path} is no setting that is known here. It was left out."))
}

/// What a client should know that limits the kernel's memory by one of these.
pub(super) fn kernel_memory(limits: [Option<i64>; 2]) -> Option<String> {
    let text = "Kernel memory limits are no longer supported by the kernel. Limitation discarded.";
    limits.into_iter().flatten().any(|limit| limit > 0).then(|| text.to_owned())
}

/// A list of words, or one word alone.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    /// One word.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl Words {
    /// The list.
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(word) => vec![word],
            Self::Many(words) => words,
        }
    }
}

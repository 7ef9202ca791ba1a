//! Properties of the scope that a container's annotations ask for: `org.systemd.property.NAME`, with
//! a value in the notation of GVariant, such as `uint64 5`, `'text'`, `true` or `['a', 'b']`.

use std::collections::BTreeMap;

use super::message::Value;
use crate::error::{Error, Result};

const PREFIX: &str = "org.systemd.property.";

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// The properties that `annotations` ask for.
///
/// # Errors
/// A name that no property can have, or a value that is none.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<(String, Value)>> {
    let asked =
        annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
    asked.map(|(name, value)| property(name, value)).collect()
}

fn property(name: &str, text: &str) -> Result<(String, Value)> {
    let bad = |what: &str| Error::invalid(format!("annotation {PREFIX}{name}={text} {what}"));
    if name.len() < 3 {
        return Err(bad("name incorrect: too short"));
    }
    if !name.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(bad("name incorrect: contains non-alphabetic character"));
    }
    let value = value(text.trim()).ok_or_else(|| bad("value parse error"))?;
    // Files of units have seconds where the bus has microseconds.
    let stem = name
        .strip_suffix("Sec")
        .filter(|stem| stem.ends_with(|last: char| last.is_ascii_lowercase()));
    match stem {
        None => Ok((name.to_owned(), value)),
        Some(stem) => {
            let seconds = match value {
                Value::Number(number) => Some(number),
                Value::Short(number) => Some(number.into()),
                Value::Signed(number) => u64::try_from(number).ok(),
                _ => None,
            };
            let microseconds = seconds.and_then(|seconds| seconds.checked_mul(SECOND));
            let value = microseconds.ok_or_else(|| bad("value parse error: not a number"))?;
            Ok((format!("{stem}USec"), Value::Number(value)))
        }
    }
}

/// Reads a value; a number without a type is a signed one of 32 bits.
fn value(text: &str) -> Option<Value> {
    if let Some(list) = text.strip_prefix('[') {
        let list = list.strip_suffix(']')?;
        let texts = list.split(',').map(|one| quoted(one.trim()));
        return Some(Value::Texts(texts.collect::<Option<_>>()?));
    }
    match text.split_once(' ') {
        Some(("uint64" | "@t", number)) => Some(Value::Number(number.trim().parse().ok()?)),
        Some(("uint32" | "@u", number)) => Some(Value::Short(number.trim().parse().ok()?)),
        Some(("int32" | "@i", number)) => Some(Value::Signed(number.trim().parse().ok()?)),
        _ => match text {
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            text => text.parse().ok().map(Value::Signed).or_else(|| quoted(text).map(Value::Text)),
        },
    }
}

/// What stands between quotes; escapes are not known.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types() {
        for (name, text, expected_name, expected) in [
            ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", Value::Number(5)),
            ("TimeoutStopSec", "2", "TimeoutStopUSec", Value::Number(2_000_000)),
            (
                "CollectMode",
                "'inactive-or-failed'",
                "CollectMode",
                Value::Text("inactive-or-failed".into()),
            ),
            ("SendSIGHUP", "true", "SendSIGHUP", Value::Flag(true)),
            (
                "Before",
                "['a.target', \"b.target\"]",
                "Before",
                Value::Texts(vec!["a.target".into(), "b.target".into()]),
            ),
            ("KillSignal", "-3", "KillSignal", Value::Signed(-3)),
            ("KillSignal", "uint32 9", "KillSignal", Value::Short(9)),
        ] {
            assert_eq!(
                property(name, text).unwrap(),
                (expected_name.to_owned(), expected),
                "{name} {text}"
            );
        }
    }

    #[test]
    fn what_is_no_property_is_refused() {
        for (name, text) in [
            ("Ab", "1"),
            ("Memory_Max", "1"),
            ("TimeoutStopSec", "'soon'"),
            ("TimeoutStopSec", "-1"),
            ("Description", "unquoted"),
            ("Description", "'"),
            ("Description", "'a'b'"),
            ("Before", "['a'"),
            ("Weight", "uint64 x"),
        ] {
            let error = property(name, text).unwrap_err().to_string();
            assert!(error.contains("annotation org.systemd.property."), "{error}");
        }
    }

    #[test]
    fn other_annotations_mean_nothing() {
        let annotations = BTreeMap::from([("com.example.Sec".to_owned(), "x".to_owned())]);
        assert_eq!(properties(&annotations).unwrap(), []);
    }
}

//! Lists of strings in JSON, which are commands without a shell and names with spaces.

use serde_json::Value;

use crate::error::{Error, Result};

/// The strings in `rest`, if it is a list.
///
/// # Errors
/// It is a list of something else. What is no JSON is no list, and for a shell.
pub(super) fn list(rest: &str) -> Result<Option<Vec<String>>> {
    if !rest.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(rest) else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Error::new(
            "when using JSON array syntax, arrays must be comprised of strings only",
        )),
    });
    strings.collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_strings_are_lists() {
        let found = list("[\"a\", \"b\\u00fc\\\"\" ] ").unwrap();
        assert_eq!(found, Some(vec!["a".into(), "bü\"".into()]));
        assert_eq!(list(" []").unwrap(), Some(vec![]));
        for line in ["a", "[ -f x ] && y", "['a']", "[\"a\"", "[\"a\",]", "[\"a\"] b", "{}", ""] {
            assert_eq!(list(line).unwrap(), None, "{line}");
        }
        for wrong in ["[1]", "[\"a\", null]", "[[\"a\"]]"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }
}

//! Keys of limits in another case than the specification's.
//!
//! runc finds the fields of JSON whatever the case of their keys is, and callers write `CPU` or
//! `pagesize`. A limit whose key is not found would be no limit, without a word; so these keys are
//! put right. Nearly all texts have none of them, which one look over the bytes tells.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// The fields of limits as the specification has them (config-linux.md, "Control groups").
const FIELDS: [&str; 47] = [
    "access",
    "allow",
    "blockIO",
    "burst",
    "checkBeforeUpdate",
    "classID",
    "cpu",
    "cpus",
    "devices",
    "disableOOMKiller",
    "hcaHandles",
    "hcaObjects",
    "hugepageLimits",
    "idle",
    "kernel",
    "kernelTCP",
    "leafWeight",
    "limit",
    "major",
    "memory",
    "mems",
    "minor",
    "name",
    "network",
    "pageSize",
    "period",
    "pids",
    "priorities",
    "priority",
    "quota",
    "rate",
    "rdma",
    "realtimePeriod",
    "realtimeRuntime",
    "reservation",
    "shares",
    "swap",
    "swappiness",
    "throttleReadBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteBpsDevice",
    "throttleWriteIOPSDevice",
    "type",
    "unified",
    "useHierarchy",
    "weight",
    "weightDevice",
];

/// Fields whose own keys are their user's, not the specification's.
const FREE: [&str; 2] = ["unified", "rdma"];

/// `text` with the keys of the limits at `place` (a JSON pointer) as the specification has them.
pub(crate) fn restore<'a>(text: &'a [u8], place: &str) -> Cow<'a, [u8]> {
    if !has_foreign_key(text) {
        return Cow::Borrowed(text);
    }
    let restored = serde_json::from_slice::<Value>(text).ok().and_then(|mut value| {
        rename(value.pointer_mut(place)?);
        serde_json::to_vec(&value).ok()
    });
    // What is no JSON, or has no limits, is somebody else's to judge.
    restored.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether any key is a field's name but for its case.
fn has_foreign_key(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let inside = rest.get(start + 1..).unwrap_or_default();
        let Some(end) = end_of_string(inside) else { return false };
        let (word, after) = inside.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
        if next == Some(&b':') && field(word).is_some_and(|field| field.as_bytes() != word) {
            return true;
        }
    }
    false
}

/// Where the string ends that `text` begins in the middle of.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// The field that a key stands for.
fn field(key: &[u8]) -> Option<&'static str> {
    FIELDS.into_iter().find(|field| field.as_bytes().eq_ignore_ascii_case(key))
}

fn rename(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(rename),
        Value::Object(object) => {
            let before = std::mem::take(object);
            *object = before.into_iter().fold(Map::new(), |mut fields, (key, mut value)| {
                let name = field(key.as_bytes()).unwrap_or(&key);
                match FREE.contains(&name) {
                    true => free(&mut value),
                    false => rename(&mut value),
                }
                // The specification's own spelling counts if both are there.
                if name == key || !fields.contains_key(name) {
                    fields.insert(name.to_owned(), value);
                }
                fields
            });
        }
        _ => {}
    }
}

/// Leaves the keys as they are, and puts those below them right.
fn free(value: &mut Value) {
    value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(rename);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn restored(text: &str, place: &str) -> Value {
        serde_json::from_slice(&restore(text.as_bytes(), place)).unwrap()
    }

    #[test]
    fn limits_are_found_whatever_the_case_of_their_keys_is() {
        let text = r#"{"CPU": {"Cpus": "0-1", "shares": 7}, "hugepageLimits": [{"pagesize": "2MB"}],
            "rdma": {"Limit": {"hcahandles": 1}}, "unified": {"Swap": "1"}}"#;
        let expected = json!({"cpu": {"cpus": "0-1", "shares": 7},
            "hugepageLimits": [{"pageSize": "2MB"}],
            "rdma": {"Limit": {"hcaHandles": 1}}, "unified": {"Swap": "1"}});
        assert_eq!(restored(text, ""), expected);
        let config =
            format!(r#"{{"annotations": {{"CPU": "x"}}, "linux": {{"resources": {text}}}}}"#);
        let value = restored(&config, "/linux/resources");
        assert_eq!(value["linux"]["resources"], expected);
        assert_eq!(value["annotations"], json!({"CPU": "x"}));
    }

    #[test]
    fn the_right_spelling_counts() {
        for text in [r#"{"cpu": {"quota": 1}, "CPU": {}}"#, r#"{"CPU": {}, "cpu": {"quota": 1}}"#] {
            assert_eq!(restored(text, ""), json!({"cpu": {"quota": 1}}));
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in
            [r#"{"cpu": {"cpus": "CPU"}}"#, r#"{"env": ["CPU", "\"Cpus\": "]}"#, "{\"CPU", ""]
        {
            assert!(matches!(restore(text.as_bytes(), ""), Cow::Borrowed(_)), "{text}");
        }
    }
}

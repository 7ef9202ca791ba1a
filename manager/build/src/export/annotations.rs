//! Annotations of manifests, of lists of them, and of how these name each other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What is annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Manifest,
    ManifestDescriptor,
    Index,
    IndexDescriptor,
}

/// Annotations by what they are of, and for which platform; none: for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Annotations(BTreeMap<(Place, Option<String>), BTreeMap<String, String>>);

impl Annotations {
    /// Takes `annotation[-PLACE][[PLATFORM]].KEY`, if it is that.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        let Some(rest) = name.strip_prefix("annotation") else { return Ok(false) };
        if !rest.starts_with(['.', '-', '[']) {
            return Ok(false);
        }
        let wrong = || Error::invalid(format!("unrecognized annotation attribute {name:?}"));
        let end = rest.find(['.', '[']).ok_or_else(wrong)?;
        let place = match &rest[..end] {
            "" | "-manifest" => Place::Manifest,
            "-manifest-descriptor" => Place::ManifestDescriptor,
            "-index" => Place::Index,
            "-index-descriptor" => Place::IndexDescriptor,
            _ => return Err(wrong()),
        };
        let rest = &rest[end..];
        let (platform, key) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (platform, key) = rest.split_once("].").ok_or_else(wrong)?;
                (Some(platform.to_owned()), key)
            }
            None => (None, rest.strip_prefix('.').ok_or_else(wrong)?),
        };
        if key.is_empty() {
            return Err(wrong());
        }
        let of_place = self.0.entry((place, platform)).or_default();
        of_place.insert(key.to_owned(), value.to_owned());
        Ok(true)
    }

    /// Whether there are none of a manifest or its list.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of `place`, for everything and for `platform`; none, if there are none.
    pub(super) fn of(&self, place: Place, platform: &str) -> Option<Map<String, Value>> {
        let both = [None, Some(platform.to_owned())];
        let found = both.into_iter().filter_map(|platform| self.0.get(&(place, platform)));
        let all: Map<String, Value> = found
            .flatten()
            .map(|(key, value)| (key.clone(), Value::String(value.clone())))
            .collect();
        (!all.is_empty()).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_of_a_place_and_perhaps_of_a_platform() {
        let mut all = Annotations::default();
        assert!(all.take("annotation.a.b", "1").unwrap());
        assert!(all.take("annotation-manifest[linux/amd64].a.b", "2").unwrap());
        assert!(all.take("annotation-index.c", "3").unwrap());
        assert!(!all.take("annotations", "x").unwrap() && !all.take("name", "x").unwrap());
        let of = |place, platform: &str| {
            serde_json::to_string(&all.of(place, platform)).unwrap_or_default()
        };
        assert_eq!(of(Place::Manifest, "linux/amd64"), r#"{"a.b":"2"}"#);
        assert_eq!(of(Place::Manifest, "linux/arm64"), r#"{"a.b":"1"}"#);
        assert_eq!(of(Place::Index, ""), r#"{"c":"3"}"#);
        assert_eq!(of(Place::IndexDescriptor, ""), "null");
        for wrong in ["annotation-x.a", "annotation.", "annotation[a.b", "annotation-index"] {
            assert!(all.take(wrong, "x").is_err(), "{wrong}");
        }
    }
}

//! Filters of lists and of events: names with any number of values each.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::query::Query;

/// What a client filters by.
#[derive(Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

/// The two forms in which clients send the values of a filter; any part may be null.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Map(BTreeMap<String, Option<bool>>),
    List(Vec<Option<String>>),
}

impl Values {
    fn all(self) -> BTreeSet<String> {
        match self {
            Self::Map(map) => map.into_keys().collect(),
            Self::List(list) => list.into_iter().map(Option::unwrap_or_default).collect(),
        }
    }
}

impl Filters {
    /// The filters of a request, if all of them are among `known`.
    pub(crate) fn of(query: &Query, known: &[&str]) -> Result<Self> {
        let filters = Self::any(query)?;
        match filters.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(Error::invalid(format!("invalid filter '{unknown}'"))),
            None => Ok(filters),
        }
    }

    /// The filters of a request, whatever they are called.
    pub(crate) fn any(query: &Query) -> Result<Self> {
        query.text("filters").map_or_else(|| Ok(Self::default()), Self::parse)
    }

    fn parse(text: &str) -> Result<Self> {
        let fields: Option<BTreeMap<String, Option<Values>>> =
            serde_json::from_str(text).map_err(|_| Error::invalid("invalid filter"))?;
        let fields = fields.unwrap_or_default().into_iter();
        let values = |values: Option<Values>| values.map(Values::all).unwrap_or_default();
        Ok(Self(fields.map(|(name, list)| (name, values(list))).collect()))
    }

    /// The values of `name`.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Whether there is a value of `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether `found` is one of the values of `name`, or there are none.
    pub(crate) fn allows(&self, name: &str, found: &str) -> bool {
        !self.has(name) || self.values(name).any(|value| value == found)
    }

    /// Whether `found` starts with one of the values of `name`, or there are none.
    pub(crate) fn allows_prefix(&self, name: &str, found: &str) -> bool {
        !self.has(name) || self.values(name).any(|value| found.starts_with(value))
    }

    /// Whether one of the values of `name`, as a regular expression or literally, is found in
    /// `found`, or there are none.
    pub(crate) fn allows_match(&self, name: &str, found: &str) -> bool {
        let matches = |value: &str| {
            value == found || Regex::new(value).is_ok_and(|pattern| pattern.is_match(found))
        };
        !self.has(name) || self.values(name).any(matches)
    }

    /// Whether all values of `name` (`key` or `key=value`) are among `labels`.
    pub(crate) fn allows_labels(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(name).all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        })
    }

    /// The truth of `name`, if it is asked for.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>> {
        if !self.0.contains_key(name) {
            return Ok(None);
        }
        let has = |words: [&str; 2]| self.values(name).any(|value| words.contains(&value));
        match (has(["1", "true"]), has(["0", "false"])) {
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ => {
                let values = self.values(name).collect::<Vec<_>>().join(" ");
                Err(Error::invalid(format!("invalid filter '{name}=[{values}]'")))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Filters of this JSON.
    pub(crate) fn filters(json: &str) -> Filters {
        Filters::parse(json).unwrap()
    }

    #[test]
    fn both_forms_are_read() {
        for json in [r#"{"name":{"web":true}}"#, r#"{"name":["web"]}"#] {
            let filters = filters(json);
            assert!(filters.allows("name", "web"));
            assert!(!filters.allows("name", "website"));
            assert!(filters.allows_match("name", "website"));
            assert!(filters.allows("label", "anything"));
        }
        assert!(Filters::parse("[]").is_err());
        assert!(Filters::parse("null").unwrap().allows("name", "web"));
        for json in [r#"{"name":null}"#, r#"{"name":{}}"#, r#"{"name":[]}"#] {
            assert!(filters(json).allows("name", "web"), "{json}");
        }
    }

    #[test]
    fn names_are_patterns() {
        let filters = filters(r#"{"name":["^/web.$","("]}"#);
        assert!(filters.allows_match("name", "/web1"));
        assert!(!filters.allows_match("name", "/web12"));
        assert!(filters.allows_match("name", "("));
    }

    #[test]
    fn labels_must_all_be_there() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(filters(r#"{"label":["a"]}"#).allows_labels("label", &labels));
        assert!(filters(r#"{"label":["a=1"]}"#).allows_labels("label", &labels));
        assert!(!filters(r#"{"label":["a=2"]}"#).allows_labels("label", &labels));
        assert!(!filters(r#"{"label":["a","b"]}"#).allows_labels("label", &labels));
    }

    #[test]
    fn unknown_filters_and_unclear_truths_are_refused() {
        let query = crate::query::tests::query("filters=%7B%22nmae%22:[%22x%22]%7D");
        let error = Filters::of(&query, &["name"]).unwrap_err().to_string();
        assert_eq!(error, "invalid filter 'nmae'");
        assert_eq!(filters(r#"{"dangling":["true"]}"#).truth("dangling").unwrap(), Some(true));
        assert_eq!(filters("{}").truth("dangling").unwrap(), None);
        let unclear = filters(r#"{"dangling":["true","false"]}"#).truth("dangling");
        assert_eq!(unclear.unwrap_err().to_string(), "invalid filter 'dangling=[false true]'");
    }
}

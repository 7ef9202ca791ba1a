//! What all kinds of pruning have in common: which things are spared, and what is told of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tare_core::events::{Event, EventType};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;
use crate::time;

/// The filters of a prune.
pub(crate) struct Prune {
    filters: Filters,
    until: Option<Timestamp>,
}

impl Prune {
    /// Those of a request; `more` are known besides those that every prune knows.
    pub(crate) fn of(query: &Query, more: &[&str]) -> Result<Self> {
        let known = [&["label", "label!", "until"], more].concat();
        let filters = Filters::of(query, &known)?;
        let points: Vec<&str> = filters.values("until").collect();
        let until = match points.as_slice() {
            [] => None,
            [point] => Some(time::point(point, Timestamp::now())?),
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        Ok(Self { filters, until })
    }

    /// Whether something with these labels that was made then may go.
    pub(crate) fn includes(
        &self,
        created: Option<Timestamp>,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let is_old = self.until.is_none_or(|until| created.is_some_and(|time| time <= until));
        let spared = self.filters.has("label!") && self.filters.allows_labels("label!", labels);
        is_old && self.filters.allows_labels("label", labels) && !spared
    }

    /// The truth of a filter, if it is asked for.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>> {
        self.filters.truth(name)
    }
}

/// Tells that things of this kind were pruned, and how many bytes that has freed.
pub(crate) fn announce(api: &Api, kind: EventType, bytes: u64) {
    let event = Event::now(kind, "prune", "").with("reclaimed", bytes.to_string());
    api.engine.events.publish(event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::query;

    fn prune(filters: &str) -> Result<Prune> {
        let encoded: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Prune::of(&query(&format!("filters={encoded}")), &["dangling"])
    }

    #[test]
    fn age_and_labels_decide() {
        let labels = BTreeMap::from([("keep".to_owned(), "yes".to_owned())]);
        let now = Timestamp::now();
        let old = Timestamp::new(1_000_000_000, 0).unwrap();
        assert!(prune("{}").unwrap().includes(Some(now), &labels));
        let until = prune(r#"{"until":["24h"]}"#).unwrap();
        assert!(until.includes(Some(old), &labels) && !until.includes(Some(now), &labels));
        assert!(!until.includes(None, &labels));
        assert!(!prune(r#"{"label!":["keep"]}"#).unwrap().includes(Some(old), &labels));
        assert!(prune(r#"{"label!":["other"]}"#).unwrap().includes(Some(old), &labels));
        assert!(!prune(r#"{"label":["other"]}"#).unwrap().includes(Some(old), &labels));
        assert!(prune(r#"{"until":["1h","2h"]}"#).is_err());
        assert!(prune(r#"{"until":["soon"]}"#).is_err());
        assert!(prune(r#"{"name":["x"]}"#).is_err());
    }
}

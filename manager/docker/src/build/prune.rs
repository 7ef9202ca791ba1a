//! `POST /build/prune`: empties the cache of builds, or as much of it as is asked for.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tare_build::cache::{Prune, Usage};
use tare_core::events::EventType;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;
use crate::version::ApiVersion;
use crate::{prune, time};

/// What a filter can be about.
const FILTERS: [&str; 13] = [
    "until",
    "unused-for",
    "id",
    "parent",
    "type",
    "description",
    "inuse",
    "shared",
    "private",
    "mutable",
    "immutable",
    "label",
    "label!",
];
/// The first version that names what stays by several limits.
const HAS_LIMITS: ApiVersion = ApiVersion::new(1, 48);

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Report>> {
    let filters = Filters::of(&query, &FILTERS)?;
    let unused_for = unused_for(&filters)?;
    let kept = bytes(&query, "keep-storage")?;
    let limit = |name| if version >= HAS_LIMITS { bytes(&query, name) } else { Ok(0) };
    let reserved = limit("reserved-space")?;
    let (most, free) = (limit("max-used-space")?, limit("min-free-space")?);
    let holds = |usage: &Usage| includes(&filters, usage);
    let wanted = Prune {
        holds: Some(&holds),
        all: query.flag("all"),
        unused_for,
        reserved: if reserved == 0 { kept } else { reserved },
        most,
        free,
    };
    let gone = api.builds.builder().cache.prune(wanted).await?;
    let space_reclaimed = gone.iter().map(|usage| usage.size).sum();
    prune::announce(&api, EventType::Builder, space_reclaimed);
    let ids: Vec<String> = gone.into_iter().map(|usage| usage.id).collect();
    let caches_deleted = Some(ids).filter(|ids| !ids.is_empty());
    Ok(Json(Report { caches_deleted, space_reclaimed }))
}

fn bytes(query: &Query, name: &str) -> Result<u64> {
    let Some(text) = query.text(name) else { return Ok(0) };
    let number: Option<i64> = text.parse().ok();
    number.map(|bytes| u64::try_from(bytes).unwrap_or_default()).ok_or_else(|| {
        Error::invalid(format!("{name} is in bytes and expects an integer, got {text}"))
    })
}

/// How long nobody must have used what goes.
fn unused_for(filters: &Filters) -> Result<Duration> {
    let all: Vec<&str> = filters.values("until").chain(filters.values("unused-for")).collect();
    match all.as_slice() {
        [] => Ok(Duration::ZERO),
        [point] => {
            let now = Timestamp::now();
            let ago = now.duration_since(time::point(point, now)?);
            Ok(Duration::try_from(ago).unwrap_or_default())
        }
        _ => Err(Error::invalid("filters expect only one value")),
    }
}

/// Whether the filters are about it.
pub(crate) fn includes(filters: &Filters, usage: &Usage) -> bool {
    let one_of =
        |name: &str, is: &dyn Fn(&str) -> bool| !filters.has(name) || filters.values(name).any(is);
    let switch = |name: &str, is: bool| !filters.has(name) || is;
    one_of("id", &|id| usage.id.starts_with(id.trim_start_matches('~')))
        && one_of("parent", &|id| usage.parents.iter().any(|parent| parent == id))
        && one_of("type", &|kind| usage.kind.name() == kind)
        && one_of("description", &|text| usage.description.contains(text))
        && switch("inuse", usage.in_use)
        && switch("shared", usage.shared)
        && switch("private", !usage.shared)
        && switch("mutable", usage.mutable)
        && switch("immutable", !usage.mutable)
}

#[cfg(test)]
mod tests {
    use tare_build::cache::UsageKind;

    use super::*;
    use crate::query::tests::query;

    fn filters(json: &str) -> Filters {
        let encoded: String = json.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Filters::of(&query(&format!("filters={encoded}")), &FILTERS).unwrap()
    }

    #[test]
    fn filters_say_what_goes() {
        let usage = Usage {
            id: "abc".to_owned(),
            mutable: true,
            in_use: false,
            size: 1,
            parents: vec!["def".to_owned()],
            created: Timestamp::UNIX_EPOCH,
            last_used: None,
            times_used: 0,
            description: "cached mount /x".to_owned(),
            kind: UsageKind::CacheMount,
            shared: false,
        };
        let includes = |json: &str| includes(&filters(json), &usage);
        for json in [
            "{}",
            r#"{"type":["exec.cachemount"]}"#,
            r#"{"type":["regular","exec.cachemount"],"id":["ab"]}"#,
            r#"{"parent":["def"],"mutable":["true"],"private":["true"]}"#,
            r#"{"description":["mount /x"]}"#,
        ] {
            assert!(includes(json), "{json}");
        }
        for json in [r#"{"type":["regular"]}"#, r#"{"inuse":["1"]}"#, r#"{"shared":["true"]}"#] {
            assert!(!includes(json), "{json}");
        }
        assert_eq!(unused_for(&filters(r#"{"until":["24h"]}"#)).unwrap().as_secs() / 10, 8_640);
        assert!(unused_for(&filters(r#"{"until":["1h","2h"]}"#)).is_err());
        assert!(bytes(&query("keep-storage=x"), "keep-storage").is_err());
    }
}

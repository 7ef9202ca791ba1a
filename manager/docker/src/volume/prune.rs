//! `POST /volumes/prune`: takes away volumes that no container uses: those without a name, or all.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::volume::VolumeInfo;

use super::view::{ANONYMOUS, labels};
use crate::api::Api;
use crate::error::Result;
use crate::filter::Filters;
use crate::query::Query;
use crate::version::ApiVersion;

/// From here on, volumes with names stay unless they are asked for too.
const NAMED_STAY: ApiVersion = ApiVersion::new(1, 42);

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    volumes_deleted: Vec<String>,
    space_reclaimed: u64,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Report>> {
    let filters = Filters::of(&query, &["all", "label", "label!"])?;
    let all = filters.truth("all")?.unwrap_or(false) || version < NAMED_STAY;
    let pruned = api.engine.volumes.prune(|volume| goes(volume, &filters, all)).await?;
    Ok(Json(Report { volumes_deleted: pruned.names, space_reclaimed: pruned.bytes }))
}

fn goes(volume: &VolumeInfo, filters: &Filters, all: bool) -> bool {
    let labels = labels(volume);
    let is_spared = filters.has("label!") && filters.allows_labels("label!", &labels);
    (all || labels.contains_key(ANONYMOUS)) && filters.allows_labels("label", &labels) && !is_spared
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::volume;
    use super::*;
    use crate::filter::tests::filters;

    #[test]
    fn named_volumes_go_only_with_all() {
        let named = volume(&[("keep", "yes")]);
        let anonymous = VolumeInfo { anonymous: true, ..volume(&[]) };
        assert!(!goes(&named, &filters("{}"), false) && goes(&named, &filters("{}"), true));
        assert!(goes(&anonymous, &filters("{}"), false));
        let spared = filters(r#"{"label!":["keep=yes"]}"#);
        assert!(!goes(&named, &spared, true) && goes(&anonymous, &spared, true));
        assert!(!goes(&anonymous, &filters(r#"{"label":["keep"]}"#), true));
    }
}

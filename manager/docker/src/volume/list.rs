//! `GET /volumes`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::volume::{Listed, VolumeInfo};

use super::view::{VolumeView, labels};
use crate::api::Api;
use crate::error::Result;
use crate::filter::Filters;
use crate::query::Query;

/// The volumes that are there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    volumes: Vec<VolumeView>,
    warnings: Option<Vec<String>>,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<List>> {
    let filters = Filters::of(&query, &["dangling", "driver", "label", "name"])?;
    let dangling = filters.truth("dangling")?;
    let Listed { volumes, warnings } = api.engine.volumes.list().await?;
    let wanted = |volume: &VolumeInfo| is_wanted(volume, &filters, dangling);
    let volumes = volumes.into_iter().filter(wanted).map(VolumeView::from).collect();
    Ok(Json(List { volumes, warnings: (!warnings.is_empty()).then_some(warnings) }))
}

fn is_wanted(volume: &VolumeInfo, filters: &Filters, dangling: Option<bool>) -> bool {
    dangling.is_none_or(|dangling| dangling == volume.users.is_empty())
        && filters.allows("driver", &volume.driver)
        && filters.allows_match("name", &volume.name)
        && filters.allows_labels("label", &labels(volume))
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::volume;
    use super::*;
    use crate::filter::tests::filters;

    fn wanted(volume: &VolumeInfo, json: &str) -> bool {
        let filters = filters(json);
        is_wanted(volume, &filters, filters.truth("dangling").unwrap())
    }

    #[test]
    fn volumes_are_chosen_by_all_filters() {
        let volume = volume(&[("tier", "front")]);
        for json in [
            "{}",
            r#"{"name":["at"]}"#,
            r#"{"name":["^da"],"driver":["local"]}"#,
            r#"{"label":["tier"]}"#,
            r#"{"label":["tier=front"]}"#,
            r#"{"dangling":["true"]}"#,
        ] {
            assert!(wanted(&volume, json), "{json}");
        }
        for json in [
            r#"{"name":["^ata"]}"#,
            r#"{"driver":["nfs"]}"#,
            r#"{"label":["tier=back"]}"#,
            r#"{"dangling":["false"]}"#,
            r#"{"label":["com.docker.volume.anonymous"]}"#,
        ] {
            assert!(!wanted(&volume, json), "{json}");
        }
        let used = VolumeInfo { users: vec!["c1".to_owned()], ..volume };
        assert!(wanted(&used, r#"{"dangling":["0"]}"#) && !wanted(&used, r#"{"dangling":["1"]}"#));
    }
}

//! `GET /networks`

use axum::Json;
use axum::extract::State;
use tare_core::network::NetworkInfo;

use super::view::NetworkView;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Vec<NetworkView>>> {
    let filters = Filters::of(&query, &FILTERS)?;
    let kinds = ["builtin", "custom"];
    if let Some(unknown) = filters.values("type").find(|kind| !kinds.contains(kind)) {
        return Err(Error::invalid(format!("invalid filter: 'type'='{unknown}'")));
    }
    let dangling = filters.truth("dangling").map_err(|_| {
        Error::invalid(
            "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
        )
    })?;
    let is_unused = |id: &str| api.engine.networks.endpoints_on(id).is_empty();
    let passes = |network: &NetworkInfo| {
        let kind = if network.predefined { "builtin" } else { "custom" };
        filters.allows("driver", network.driver)
            && filters.allows_prefix("id", &network.id)
            && filters.allows_labels("label", &network.labels)
            && filters.allows_match("name", &network.name)
            && filters.allows("scope", "local")
            && filters.allows("type", kind)
            // Those that are always there never dangle.
            && dangling.is_none_or(|dangling| {
                dangling == (!network.predefined && is_unused(&network.id))
            })
    };
    let networks = api.engine.networks.list().into_iter().filter(passes);
    Ok(Json(networks.map(NetworkView::bare).collect()))
}

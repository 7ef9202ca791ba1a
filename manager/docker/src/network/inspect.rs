//! `GET /networks/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::view::NetworkView;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<NetworkView>> {
    // Services belong to swarms, so that there is nothing more to say.
    query.text("verbose").map(verbose).transpose()?;
    let network = api.engine.networks.find(&name)?;
    match query.text("scope") {
        None | Some("local") => Ok(Json(NetworkView::whole(network, &api.engine))),
        Some(_) => {
            Err(Error::from(tare_core::Error::not_found(format!("network {name} not found"))))
        }
    }
}

fn verbose(text: &str) -> Result<()> {
    match text {
        "" | "0" | "1" | "t" | "f" | "T" | "F" | "true" | "false" | "True" | "False" | "TRUE"
        | "FALSE" => Ok(()),
        _ => Err(Error::invalid(format!(
            "invalid value for verbose: {text}: strconv.ParseBool: parsing \"{text}\": invalid syntax"
        ))),
    }
}

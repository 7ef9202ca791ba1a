//! The table of all endpoints.

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::api::Api;
use crate::error::Error;
use crate::metrics::timed;
use crate::{
    build, container, exec, image, network, plugin, registry, swarm, system, unsupported, volume,
};

/// Everything that is answered. Paths have no version any more.
pub(crate) fn router(api: Api) -> Router {
    endpoints()
        .fallback(async || Error::page_not_found())
        .method_not_allowed_fallback(async || Error::page_not_found())
        .layer(from_fn_with_state(api.clone(), timed))
        .with_state(api)
}

/// What each part answers.
fn endpoints() -> Router<Api> {
    Router::new()
        .merge(system::routes())
        .merge(image::routes())
        .merge(container::routes())
        .merge(exec::routes())
        .merge(network::routes())
        .merge(volume::routes())
        .merge(build::routes())
        .merge(registry::routes())
        .merge(plugin::routes())
        .merge(swarm::routes())
        .merge(unsupported::routes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_endpoints_are_at_one_place() {
        // The router panics where they are.
        drop(endpoints());
    }
}

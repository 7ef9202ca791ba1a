//! What belongs to a swarm: this engine answers as one of docker's that is in none.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, on, post};

use crate::api::Api;
use crate::error::Error;

/// Endpoints that only a swarm's manager serves.
const OF_MANAGERS: &[(MethodFilter, &str)] = &[
    (MethodFilter::GET, "/swarm"),
    (MethodFilter::GET, "/swarm/unlockkey"),
    (MethodFilter::POST, "/swarm/update"),
    (MethodFilter::POST, "/swarm/unlock"),
    (MethodFilter::GET, "/nodes"),
    (MethodFilter::GET, "/nodes/{id}"),
    (MethodFilter::DELETE, "/nodes/{id}"),
    (MethodFilter::POST, "/nodes/{id}/update"),
    (MethodFilter::GET, "/services"),
    (MethodFilter::POST, "/services/create"),
    (MethodFilter::GET, "/services/{id}"),
    (MethodFilter::DELETE, "/services/{id}"),
    (MethodFilter::POST, "/services/{id}/update"),
    (MethodFilter::GET, "/services/{id}/logs"),
    (MethodFilter::GET, "/tasks"),
    (MethodFilter::GET, "/tasks/{id}"),
    (MethodFilter::GET, "/tasks/{id}/logs"),
    (MethodFilter::GET, "/secrets"),
    (MethodFilter::POST, "/secrets/create"),
    (MethodFilter::GET, "/secrets/{id}"),
    (MethodFilter::DELETE, "/secrets/{id}"),
    (MethodFilter::POST, "/secrets/{id}/update"),
    (MethodFilter::GET, "/configs"),
    (MethodFilter::POST, "/configs/create"),
    (MethodFilter::GET, "/configs/{id}"),
    (MethodFilter::DELETE, "/configs/{id}"),
    (MethodFilter::POST, "/configs/{id}/update"),
];

/// What docker says where there is no swarm. Clients look for these words.
const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                          swarm join\" to connect this node to swarm and try again.";

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    let mut router = Router::new()
        .route("/swarm/init", post(async || Error::unsupported("swarm mode")))
        .route("/swarm/join", post(async || Error::unsupported("swarm mode")))
        .route("/swarm/leave", post(async || refused("This node is not part of a swarm")));
    for &(method, path) in OF_MANAGERS {
        router = router.route(path, on(method, async || refused(NO_MANAGER)));
    }
    router
}

fn refused(reason: &str) -> Error {
    Error::new(StatusCode::SERVICE_UNAVAILABLE, reason)
}

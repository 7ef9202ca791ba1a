//! Endpoints that docker has and that are not here: each answers with what it would be for.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, on};

use crate::api::Api;
use crate::error::Error;

/// Endpoints of features that are not here.
const FEATURES: &[(MethodFilter, &str, &str)] = &[
    (MethodFilter::POST, "/build", "building images"),
    (MethodFilter::POST, "/build/cancel", "building images"),
    (MethodFilter::POST, "/session", "building images with BuildKit"),
    (MethodFilter::POST, "/grpc", "building images with BuildKit"),
    (MethodFilter::GET, "/containers/{id}/checkpoints", "checkpoints"),
    (MethodFilter::POST, "/containers/{id}/checkpoints", "checkpoints"),
    (MethodFilter::DELETE, "/containers/{id}/checkpoints/{checkpoint}", "checkpoints"),
    (MethodFilter::PUT, "/volumes/{name}", "changing volumes"),
    (MethodFilter::GET, "/plugins", "plugins"),
    (MethodFilter::GET, "/plugins/{*name}", "plugins"),
    (MethodFilter::POST, "/plugins/{*name}", "plugins"),
    (MethodFilter::DELETE, "/plugins/{*name}", "plugins"),
    (MethodFilter::POST, "/swarm/init", "swarm mode"),
    (MethodFilter::POST, "/swarm/join", "swarm mode"),
];

/// Endpoints that only a swarm's manager serves.
const SWARM: &[(MethodFilter, &str)] = &[
    (MethodFilter::GET, "/swarm"),
    (MethodFilter::GET, "/swarm/unlockkey"),
    (MethodFilter::POST, "/swarm/leave"),
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
const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                        swarm join\" to connect this node to swarm and try again.";

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    let mut router = Router::new();
    for &(method, path, feature) in FEATURES {
        let answer = move || async move { Error::unsupported(feature) };
        router = router.route(path, on(method, answer));
    }
    for &(method, path) in SWARM {
        let answer = || async { Error::new(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM) };
        router = router.route(path, on(method, answer));
    }
    router
}

//! Endpoints that docker has and that are not here: each answers with what it would be for.

use axum::Router;
use axum::routing::{MethodFilter, on};

use crate::api::Api;
use crate::error::Error;

/// Endpoints of features that are not here.
const FEATURES: &[(MethodFilter, &str, &str)] = &[
    (MethodFilter::GET, "/containers/{id}/checkpoints", "checkpoints"),
    (MethodFilter::POST, "/containers/{id}/checkpoints", "checkpoints"),
    (MethodFilter::DELETE, "/containers/{id}/checkpoints/{checkpoint}", "checkpoints"),
];

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    let mut router = Router::new();
    for &(method, path, feature) in FEATURES {
        let answer = move || async move { Error::unsupported(feature) };
        router = router.route(path, on(method, answer));
    }
    router
}

//! `POST /session`: a client lets us ask it for what a build needs of it: files, secrets, keys.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use tare_build::session::Introduction;

use super::upgrade;
use crate::api::Api;
use crate::error::{Error, Result};

/// What headers about a session begin with.
const SESSION: &str = "x-docker-expose-session-";

pub(super) async fn handle(State(api): State<Api>, mut request: Request) -> Result<Response> {
    let sessions = &api.builds.builder().sessions;
    let admitted = sessions.admit(introduction(request.headers()));
    // Whatever is wrong with it, docker says so.
    let admitted = admitted.map_err(|error| Error::invalid(error.to_string()))?;
    if let Some(reason) = upgrade::refusal(request.headers()) {
        return Err(Error::invalid(reason));
    }
    let connection = upgrade::take(&mut request);
    Ok(upgrade::upgrade(connection, api.closing.clone(), |connection| admitted.serve(connection)))
}

/// What a client says of its session.
fn introduction(headers: &HeaderMap) -> Introduction {
    let all = |name: &str| {
        let values = headers.get_all(format!("{SESSION}{name}"));
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        values.iter().filter_map(text).collect::<Vec<_>>()
    };
    let one = |name: &str| all(name).into_iter().next().unwrap_or_default();
    Introduction {
        id: one("uuid"),
        name: one("name"),
        shared_key: one("sharedkey"),
        methods: all("grpc-method"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_what_it_offers() {
        let mut headers = HeaderMap::new();
        headers.insert("X-Docker-Expose-Session-Uuid", "u1".parse().unwrap());
        for method in ["/a/B", "/c/D"] {
            headers.append("X-Docker-Expose-Session-Grpc-Method", method.parse().unwrap());
        }
        let said = introduction(&headers);
        assert_eq!(said.id, "u1");
        assert_eq!(said.methods, ["/a/B", "/c/D"]);
        assert_eq!(said.shared_key, "");
    }
}

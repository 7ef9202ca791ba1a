//! `POST /containers/create`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tare_core::Kind;
use tare_core::container::Create;
use tare_core::host::Architecture;

use super::request::CreateBody;
use crate::api::Api;
use crate::body;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::version::ApiVersion;

/// The container that was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    id: String,
    warnings: Vec<String>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    body::Json(body): body::Json<CreateBody>,
) -> Result<(StatusCode, Json<Created>)> {
    if let Some(platform) = query.text("platform") {
        check_platform(platform)?;
    }
    let (config, host) = body.into_domain(version)?;
    let name = query.text("name").map(|name| name.trim_start_matches('/').to_owned());
    let image = config.image.clone();
    let created = api.engine.containers.create(Create { name, config, host }).await;
    let created = created.map_err(|error| refused(&api, &image, error))?;
    let created = Created { id: created.id.to_string(), warnings: created.warnings };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Clients take "not found" for a missing image, and go to fetch it. If the image is there, what is
/// missing is something else that the request names.
fn refused(api: &Api, image: &str, error: tare_core::Error) -> Error {
    if error.kind() == Kind::NotFound && api.engine.images.resolve(image).is_ok() {
        return Error::invalid(error.to_string());
    }
    error.into()
}

/// Only this machine's own platform runs here: `linux`, `linux/amd64`, `amd64`.
fn check_platform(platform: &str) -> Result<()> {
    let here = Architecture::here();
    let is_here = platform.to_ascii_lowercase().split('/').enumerate().all(|(place, part)| {
        (place == 0 && part == "linux") || part == here.oci_name() || part == here.kernel_name()
    });
    if is_here {
        return Ok(());
    }
    Err(Error::unsupported(format_args!(
        "the platform {platform} (this machine is linux/{})",
        here.oci_name()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_platform_passes() {
        let here = Architecture::here().oci_name();
        for good in ["linux", here, &format!("linux/{here}")] {
            assert!(check_platform(good).is_ok(), "{good}");
        }
        for bad in ["windows", "linux/s390x", "windows/amd64"] {
            assert!(check_platform(bad).is_err(), "{bad}");
        }
    }
}

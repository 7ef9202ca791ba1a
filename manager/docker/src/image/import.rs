//! `POST /images/create?fromSrc=…`: makes an image of an archive. Pulling one has the same address.

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use tare_core::image::{Import, Reference};

use super::pull;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::registry_auth::RegistryAuth;
use crate::stream::body_reader::BodyReader;
use crate::stream::json_lines::{self, LineEnd, Message};

pub(super) async fn handle(
    State(api): State<Api>,
    query: Query,
    RegistryAuth(credentials): RegistryAuth,
    request: Request,
) -> Result<Response> {
    if let Some(image) = query.text("fromImage") {
        return pull::handle(&api, image, &query, credentials).await;
    }
    match query.text("fromSrc") {
        Some("-") => {}
        Some(url) => return Err(Error::unsupported(format_args!("importing from {url}"))),
        None => return Err(Error::invalid("fromSrc or fromImage must be given")),
    }
    let import = Import {
        reference: reference(query.text("repo"), query.text("tag"))?,
        message: query.text("message").unwrap_or("Imported from -").to_owned(),
        changes: query.all("changes").map(str::to_owned).collect(),
        platform: query.text("platform").map(str::to_owned),
    };
    let archive = BodyReader::new(request.into_body());
    let id = api.engine.images.import(archive, import).await?;
    let done = stream::iter([Message::status(id.to_string())]);
    Ok(json_lines::response(done, LineEnd::Progress))
}

/// The name that a repository and a tag make; none if there is no repository.
pub(crate) fn reference(repository: Option<&str>, tag: Option<&str>) -> Result<Option<Reference>> {
    let Some(repository) = repository else { return Ok(None) };
    let name = match tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    Ok(Some(Reference::parse(&name)?.or_latest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_gets_a_tag() {
        let name = |repository, tag| reference(repository, tag).unwrap().unwrap().familiar();
        assert_eq!(name(Some("bb"), None), "bb:latest");
        assert_eq!(name(Some("bb"), Some("1")), "bb:1");
        assert!(reference(None, Some("1")).unwrap().is_none());
        assert!(reference(Some("B"), None).is_err());
    }
}

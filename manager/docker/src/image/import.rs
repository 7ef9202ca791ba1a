//! `POST /images/create`: makes an image of an archive. Fetching one from a registry has the same
//! address in docker.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use tare_core::image::{Import, Reference};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::body_reader::BodyReader;
use crate::stream::json_lines::{self, LineEnd, Message};

pub(super) async fn handle(
    State(api): State<Api>,
    query: Query,
    request: Request,
) -> Result<Response> {
    if let Some(image) = query.text("fromImage") {
        return Err(pulling(image, query.text("tag")));
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
pub(super) fn reference(repository: Option<&str>, tag: Option<&str>) -> Result<Option<Reference>> {
    let Some(repository) = repository else { return Ok(None) };
    let name = match tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    Ok(Some(Reference::parse(&name)?.or_latest()))
}

/// What `docker run` of a missing image and `docker pull` get.
fn pulling(image: &str, tag: Option<&str>) -> Error {
    let name = match tag {
        Some(digest) if digest.contains(':') => format!("{image}@{digest}"),
        Some(tag) => format!("{image}:{tag}"),
        None => image.to_owned(),
    };
    let name = Reference::parse(&name).map_or(name, |reference| reference.familiar());
    let text = format!(
        "pulling {name} from a registry is not supported by this version of tared; bring images \
         in with `docker load` or `docker import`"
    );
    Error::new(StatusCode::NOT_IMPLEMENTED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_image_is_named_as_its_user_did() {
        let text = pulling("docker.io/library/nosuch", Some("latest")).to_string();
        assert!(text.starts_with("pulling nosuch:latest from a registry"), "{text}");
    }

    #[test]
    fn a_repository_gets_a_tag() {
        let name = |repository, tag| reference(repository, tag).unwrap().unwrap().familiar();
        assert_eq!(name(Some("bb"), None), "bb:latest");
        assert_eq!(name(Some("bb"), Some("1")), "bb:1");
        assert!(reference(None, Some("1")).unwrap().is_none());
        assert!(reference(Some("B"), None).is_err());
    }
}

//! JSON bodies of requests: bounded and whole.

mod go;
mod syntax;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use self::go::Go;
use crate::error::{Error, Result};
use crate::stream::body_reader::BodyReader;

/// More than any sensible container's settings.
const LARGEST: u64 = 8 << 20;

/// A body that must be there.
pub(crate) struct Json<T>(pub(crate) T);

/// A body that may be left out; then it is the default.
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// A body that must be there and may have more than we know.
pub(crate) struct Noticed<T> {
    pub(crate) value: T,
    /// The paths of its fields that nobody reads.
    pub(crate) unknown: Vec<String>,
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        parse(&read_some(request).await?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Noticed<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let (value, unknown) = parse_noticing(&read_some(request).await?)?;
        Ok(Self { value, unknown })
    }
}

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// Reads a body that must be there.
async fn read_some(request: Request) -> Result<Vec<u8>> {
    let (parts, body) = request.into_parts();
    let bytes = read(&parts.headers, body).await?;
    if bytes.is_empty() {
        return Err(Error::invalid("invalid JSON: got EOF while reading request body"));
    }
    Ok(bytes)
}

/// Reads all of the body. The client of one that is too large gets to send it, and to hear that.
async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut body = BodyReader::new(body).take(LARGEST + 1);
    let read = body.read_to_end(&mut bytes).await.map_err(|e| Error::invalid(e.to_string()))?;
    if read as u64 > LARGEST {
        let limit = LARGEST >> 20;
        return Err(Error::invalid(format!("the request body is larger than {limit} MiB")));
    }
    if !bytes.is_empty() {
        check_type(headers)?;
    }
    Ok(bytes)
}

/// The body must say that it is JSON.
fn check_type(headers: &HeaderMap) -> Result<()> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    if essence.is_empty() {
        return Err(Error::invalid(format!(
            "malformed Content-Type header ({value}): mime: no media type"
        )));
    }
    Err(Error::invalid(format!(
        "unsupported Content-Type header ({value}): must be 'application/json'"
    )))
}

/// Reads JSON; an error names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    parse_noticing(bytes).map(|(value, _)| value)
}

/// The same, with the paths of the fields that nobody reads.
pub(crate) fn parse_noticing<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<String>)> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let whole = Value::deserialize(&mut reader);
    let whole = whole.map_err(|error| {
        let said = syntax::complaint(bytes).unwrap_or_else(|| error.to_string());
        Error::invalid(format!("invalid JSON: {said}"))
    })?;
    reader.end().map_err(|_| Error::invalid("unexpected content after JSON"))?;
    let (mut track, mut unknown) = (serde_path_to_error::Track::new(), Vec::new());
    let tracked = serde_path_to_error::Deserializer::new(Go(whole), &mut track);
    let value = serde_ignored::deserialize(tracked, |path| unknown.push(shown(&path)));
    let value = value.map_err(|error: serde_json::Error| {
        Error::invalid(format!("invalid request body: {}: {error}", track.path()))
    })?;
    Ok((value, unknown))
}

/// The path as the JSON has it, without marks of where it leads through an option.
fn shown(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", shown(parent)),
        Path::Map { parent, key } => match shown(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => shown(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(rename = "Inner")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[serde(rename = "Number")]
        number: u32,
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse::<Outer>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(parse::<Outer>(b" {\"Inner\":{\"Number\":1}} ").unwrap().inner.number, 1);
        assert!(wrong("{\"Inner\":{\"Nubmer\":1}}").ends_with("Inner: missing field `Number`"));
        assert!(wrong("{\"Inner\":{\"Number\":\"x\"}}").contains("Inner.Number: invalid type"));
        assert!(wrong("{\"Inner\":{").starts_with("invalid JSON: unexpected EOF"));
        assert_eq!(wrong("{\"Inner\":{\"Number\":1}} x"), "unexpected content after JSON");
    }

    #[test]
    fn a_body_says_its_type() {
        let mut headers = HeaderMap::new();
        assert!(check_type(&headers).is_err());
        headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(
            check_type(&headers).unwrap_err().to_string(),
            "unsupported Content-Type header (text/plain): must be 'application/json'"
        );
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert!(check_type(&headers).is_ok());
    }
}

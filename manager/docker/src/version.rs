//! Versions of the Docker Engine API, and the version prefix of a request's path.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::error::{Error, Result};

/// A version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// The oldest that is served.
    pub(crate) const OLDEST: Self = Self::new(1, 24);
    /// The newest that is served, and the one of a request that names none.
    pub(crate) const NEWEST: Self = Self::new(1, 51);

    /// The version `major.minor`.
    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads `1.51`.
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version is put among a request's extensions before the router sees it.
impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::NEWEST))
    }
}

/// Splits the path of a request into its version and the path within the API: `/v1.51/info` into
/// 1.51 and `/info`. A path without a version is one of the newest.
///
/// # Errors
/// As docker words them for a version that isn't served.
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str)> {
    let Some((text, rest)) = prefix(path) else { return Ok((ApiVersion::NEWEST, path)) };
    let version = ApiVersion::parse(text).ok_or_else(Error::page_not_found)?;
    if version < ApiVersion::OLDEST {
        return Err(Error::client_too_old(format!(
            "client version {version} is too old. Minimum supported API version is {}, please \
             upgrade your client to a newer version",
            ApiVersion::OLDEST
        )));
    }
    if version > ApiVersion::NEWEST {
        return Err(Error::invalid(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::NEWEST
        )));
    }
    Ok((version, rest))
}

/// The text between `/v` and the next slash, if it is made of digits and dots, and the rest.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let text = path.strip_prefix("/v")?;
    let (text, rest) = text.split_at(text.find('/')?);
    let versionlike = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (versionlike && !text.is_empty()).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_optional() {
        assert_eq!(split("/info").unwrap(), (ApiVersion::NEWEST, "/info"));
        assert_eq!(split("/version").unwrap(), (ApiVersion::NEWEST, "/version"));
        assert_eq!(split("/volumes/v1.2").unwrap(), (ApiVersion::NEWEST, "/volumes/v1.2"));
        assert_eq!(split("/v1.30/info").unwrap(), (ApiVersion::new(1, 30), "/info"));
    }

    #[test]
    fn versions_that_are_not_served_are_told_so() {
        let old = split("/v1.23/info").unwrap_err().to_string();
        assert!(
            old.starts_with("client version 1.23 is too old. Minimum supported API version is")
        );
        let new = split("/v1.99/info").unwrap_err().to_string();
        assert_eq!(new, "client version 1.99 is too new. Maximum supported API version is 1.51");
        assert_eq!(split("/v1.2.3/info").unwrap_err().to_string(), "page not found");
    }
}

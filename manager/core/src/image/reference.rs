//! Names of images: `[registry/]repository[:tag][@digest]`, by the grammar of
//! github.com/distribution/reference, with docker's short forms and docker's texts for what is wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use crate::error::{Error, Result};

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_REGISTRY_OF_OLD: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A normalised name: the registry and the whole repository are always there (`nginx` is
/// `docker.io/library/nginx`); the tag and the digest may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as a person types it.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] with docker's text, such as "invalid reference format".
    pub fn parse(name: &str) -> Result<Self> {
        if Digest::from_hex(name).is_some() {
            return Err(Error::invalid(format!(
                "invalid repository name ({name}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (registry, rest) = split_registry(name);
        let shown = rest.split(':').next().unwrap_or_default();
        if shown.to_lowercase() != shown {
            return Err(Error::invalid(format!(
                "invalid reference format: repository name ({shown}) must be lowercase"
            )));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest.to_owned(), Some(parse_digest(digest)?)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository.to_owned(), Some(tag.to_owned())),
            None => (rest, None),
        };
        let valid = is_registry(&registry)
            && repository.split('/').all(is_path_component)
            && tag.as_deref().is_none_or(is_tag);
        if !valid {
            return Err(Error::invalid("invalid reference format"));
        }
        if repository.len() > LONGEST_NAME {
            return Err(Error::invalid(format!(
                "repository name must not be more than {LONGEST_NAME} characters"
            )));
        }
        Ok(Self { registry, repository, tag, digest })
    }

    /// The same name with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with `tag`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] "invalid tag format".
    pub fn with_tag(mut self, tag: &str) -> Result<Self> {
        if !is_tag(tag) {
            return Err(Error::invalid("invalid tag format"));
        }
        self.tag = Some(tag.to_owned());
        Ok(self)
    }

    /// The same repository by the digest of a manifest, without a tag.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.tag = None;
        self.digest = Some(digest);
        self
    }

    /// The registry's host and port, such as `docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in its registry, such as `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if there is one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether it names a repository only.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Whether both names are of one repository of one registry.
    pub fn same_repository(&self, other: &Reference) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// The repository in docker's short form: `nginx` for `docker.io/library/nginx`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// All of it in docker's short form: `nginx:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffixes(self.familiar_name())
    }

    fn with_suffixes(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffixes(format!("{}/{}", self.registry, self.repository)))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::parse(&name)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// Which part of a name is the registry: the first component if it looks like a host.
fn split_registry(name: &str) -> (String, String) {
    let (registry, rest) = match name.split_once('/') {
        Some((DEFAULT_REGISTRY_OF_OLD, rest)) => (DEFAULT_REGISTRY, rest),
        Some((host, rest))
            if host == "localhost" || host.contains(['.', ':']) || host.to_lowercase() != host =>
        {
            (host, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    };
    let official = registry == DEFAULT_REGISTRY && !rest.contains('/');
    let prefix = if official { OFFICIAL } else { "" };
    (registry.to_owned(), format!("{prefix}{rest}"))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_ok =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        }),
        None => host.split('.').all(is_host_component),
    };
    port_ok && host_ok
}

fn is_host_component(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Lower-case words joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(|byte| is_word(*byte)))
        && text.split(|c: char| c.is_ascii() && is_word(c as u8)).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    text.len() <= LONGEST_TAG
        && !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn parse_digest(text: &str) -> Result<Digest> {
    let well_formed = text.split_once(':').is_some_and(|(algorithm, digits)| {
        !algorithm.is_empty()
            && digits.len() >= 32
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if !well_formed {
        return Err(Error::invalid("invalid reference format"));
    }
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_made_whole_and_short_again() {
        for (typed, whole, familiar) in [
            ("nginx", "docker.io/library/nginx", "nginx"),
            ("nginx:1.2", "docker.io/library/nginx:1.2", "nginx:1.2"),
            ("me/app", "docker.io/me/app", "me/app"),
            ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx", "nginx"),
            ("localhost/a", "localhost/a", "localhost/a"),
            ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
            ("quay.io/a/b/c", "quay.io/a/b/c", "quay.io/a/b/c"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"),
            ("Host/a", "Host/a", "Host/a"),
        ] {
            let reference = Reference::parse(typed).unwrap();
            assert_eq!(reference.to_string(), whole, "{typed}");
            assert_eq!(reference.familiar(), familiar, "{typed}");
            assert_eq!(Reference::parse(whole).unwrap(), reference, "{typed}");
        }
    }

    #[test]
    fn the_tag_latest_is_only_put_where_nothing_else_is() {
        let digest = Digest::of(b"x");
        let by_digest = format!("nginx@{digest}");
        assert_eq!(Reference::parse("nginx").unwrap().or_latest().familiar(), "nginx:latest");
        assert_eq!(Reference::parse("nginx:1").unwrap().or_latest().familiar(), "nginx:1");
        assert_eq!(Reference::parse(&by_digest).unwrap().or_latest().familiar(), by_digest);
    }

    #[test]
    fn what_is_wrong_is_said_in_dockers_words() {
        let hex = "a".repeat(64);
        let long = format!("a/{}", "b".repeat(256));
        for (name, text) in [
            ("", "invalid reference format"),
            (":tag", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a:.b", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("a..b", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("a@sha256:12", "invalid reference format"),
            ("a:b:c", "invalid reference format"),
            ("ä", "invalid reference format"),
            (
                "Nginx",
                "invalid reference format: repository name (library/Nginx) must be lowercase",
            ),
            ("me/App:1", "invalid reference format: repository name (me/App) must be lowercase"),
            (&long, "repository name must not be more than 255 characters"),
        ] {
            assert_eq!(Reference::parse(name).unwrap_err().to_string(), text, "{name}");
        }
        let error = Reference::parse(&hex).unwrap_err().to_string();
        assert!(error.contains("cannot specify 64-byte hexadecimal strings"), "{error}");
    }
}

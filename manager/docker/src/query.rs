//! The query of a request, read as docker reads it.

use std::fmt;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::error::{Error, Result};

/// The parameters in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let axum::extract::Query(list) = axum::extract::Query::try_from_uri(&parts.uri)
            .map_err(|error| Error::invalid(format!("invalid query: {error}")))?;
        Ok(Self(list))
    }
}

impl Query {
    /// Every value of `name`, empty ones too.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Whether `name` is set to anything but a word for no; absent means no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// The same with another meaning of absence.
    pub(crate) fn flag_or(&self, name: &str, absent: bool) -> bool {
        match self.all(name).next() {
            None => absent,
            Some(value) => {
                let word = value.trim().to_ascii_lowercase();
                !matches!(word.as_str(), "" | "0" | "no" | "false" | "none")
            }
        }
    }

    /// The value of `name` read as a `T`; none if it is absent or empty.
    pub(crate) fn parse<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = |error| Error::invalid(format!("invalid value {text:?} for {name}: {error}"));
        text.parse().map(Some).map_err(wrong)
    }

    /// Refuses a parameter that docker has and that isn't supported here.
    pub(crate) fn refuse(&self, name: &str) -> Result<()> {
        match self.text(name) {
            None => Ok(()),
            Some(value) => Err(Error::unsupported(format_args!("the parameter {name}={value}"))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The query of a URL that ends in `?text`.
    pub(crate) fn query(text: &str) -> Query {
        let uri = format!("/x?{text}").parse().unwrap();
        let axum::extract::Query(list) = axum::extract::Query::try_from_uri(&uri).unwrap();
        Query(list)
    }

    #[test]
    fn flags_are_dockers() {
        let query = query("a=1&b=true&c=0&d=False&e=&f=none&g=yes");
        assert!(["a", "b", "g"].into_iter().all(|name| query.flag(name)));
        assert!(!["c", "d", "e", "f", "absent"].into_iter().any(|name| query.flag(name)));
        assert!(query.flag_or("absent", true));
    }

    #[test]
    fn values_are_decoded_and_repeat() {
        let query = query("changes=CMD+%5B%22sh%22%5D&changes=ENV+A%3Db&t=x&limit=");
        assert_eq!(query.all("changes").collect::<Vec<_>>(), ["CMD [\"sh\"]", "ENV A=b"]);
        assert_eq!(query.parse::<u32>("limit").unwrap(), None);
        let error = query.parse::<u32>("t").unwrap_err().to_string();
        assert_eq!(error, "invalid value \"x\" for t: invalid digit found in string");
    }
}

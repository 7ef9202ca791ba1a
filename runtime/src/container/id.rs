//! The name of a container, which is also the name of its directory.

use crate::error::{Error, Result};
use std::fmt;

/// A container's id: letters, digits and `_+-.`, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerId(String);

impl ContainerId {
    /// Checks `text`.
    pub(crate) fn parse(text: &str) -> Result<ContainerId> {
        if text.is_empty() {
            return Err(Error::invalid("container id cannot be empty"));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if !text.bytes().all(fits) || matches!(text, "." | "..") {
            return Err(Error::invalid("invalid container ID format"));
        }
        Ok(ContainerId(text.to_owned()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_file_name() {
        for good in ["a", "Web_1", "x+y-z.0", "..."] {
            assert_eq!(ContainerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n", "\0"] {
            assert!(ContainerId::parse(bad).is_err(), "{bad:?}");
        }
    }
}

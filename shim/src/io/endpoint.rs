//! Where a standard stream leads, as Create and Exec name it.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// One stream's other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Nowhere: the process gets /dev/null.
    Null,
    /// Held by this shim, for clients of the Streams service.
    Attachable,
    /// A fifo that the caller made.
    Fifo(PathBuf),
    /// A file to append to.
    File(PathBuf),
}

impl Endpoint {
    /// Reads a stream's address: nothing, `shim:`, a path or `fifo:` URI, or a `file:` URI.
    pub(crate) fn parse(address: &str) -> Result<Self> {
        match address {
            "" => return Ok(Endpoint::Null),
            "shim:" => return Ok(Endpoint::Attachable),
            path if path.starts_with('/') => return Ok(Endpoint::Fifo(PathBuf::from(path))),
            _ => {}
        }
        let Some((scheme, rest)) = address.split_once("://") else {
            return Err(Error::invalid(format!(
                "stream {address:?}: give an absolute path of a fifo, file:///PATH or shim:"
            )));
        };
        match scheme {
            "fifo" => Ok(Endpoint::Fifo(local_path(address, rest)?)),
            "file" => Ok(Endpoint::File(local_path(address, rest)?)),
            "binary" | "binary-v2" => Err(Error::unimplemented(format!(
                "stream {address:?}: this shim runs no logging programs; use file:///PATH"
            ))),
            _ => Err(Error::invalid(format!("stream {address:?}: unknown scheme {scheme:?}"))),
        }
    }
}

/// The path of a URI without host and query, percent-decoded.
fn local_path(address: &str, rest: &str) -> Result<PathBuf> {
    if let Some((_, query)) = rest.split_once('?') {
        return Err(Error::unimplemented(format!("stream {address:?}: unknown option {query:?}")));
    }
    if !rest.starts_with('/') {
        return Err(Error::invalid(format!("stream {address:?}: the path must be absolute")));
    }
    let path = percent_decode(rest)
        .ok_or_else(|| Error::invalid(format!("stream {address:?}: broken percent escape")))?;
    Ok(PathBuf::from(path))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex_digit(bytes.next()?)? << 4) | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn reads_every_kind() {
        assert_eq!(Endpoint::parse("").unwrap(), Endpoint::Null);
        assert_eq!(Endpoint::parse("shim:").unwrap(), Endpoint::Attachable);
        assert_eq!(Endpoint::parse("/run/x").unwrap(), Endpoint::Fifo("/run/x".into()));
        assert_eq!(Endpoint::parse("fifo:///run/x").unwrap(), Endpoint::Fifo("/run/x".into()));
        assert_eq!(Endpoint::parse("file:///a%20b").unwrap(), Endpoint::File("/a b".into()));
    }

    #[test]
    fn names_what_it_can_not_do() {
        let kind = |address| Endpoint::parse(address).unwrap_err().kind();
        assert_eq!(kind("binary:///bin/logger?x=1"), Kind::Unimplemented);
        assert_eq!(kind("file:///a?mode=1"), Kind::Unimplemented);
        assert_eq!(kind("relative"), Kind::InvalidArgument);
        assert_eq!(kind("ftp://host/x"), Kind::InvalidArgument);
        assert_eq!(kind("file:///a%2"), Kind::InvalidArgument);
    }
}

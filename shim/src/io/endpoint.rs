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
    /// A program that takes both output streams.
    Program(LoggingProgram),
}

/// A program that keeps logs, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggingProgram {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
}

impl Endpoint {
    /// Reads a stream's address: nothing, `shim:`, a path or `fifo:` URI, a `file:` or a
    /// `binary:` URI, whose query's names and values are the program's arguments.
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
            "binary" => program(address, rest).map(Endpoint::Program),
            _ => Err(Error::invalid(format!("stream {address:?}: unknown scheme {scheme:?}"))),
        }
    }
}

fn program(address: &str, rest: &str) -> Result<LoggingProgram> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = local_path(address, path)?;
    let mut args = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        for word in [name, value].into_iter().filter(|word| !word.is_empty()) {
            args.push(query_decode(word).ok_or_else(|| {
                Error::invalid(format!("stream {address:?}: broken percent escape"))
            })?);
        }
    }
    Ok(LoggingProgram { path, args })
}

/// In a query, a plus is a space.
fn query_decode(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
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
        let program = LoggingProgram {
            path: "/bin/log".into(),
            args: ["--id", "a b", "-v"].map(str::to_owned).into(),
        };
        let parsed = Endpoint::parse("binary:///bin/log?--id=a+b&-v").unwrap();
        assert_eq!(parsed, Endpoint::Program(program));
    }

    #[test]
    fn names_what_it_can_not_do() {
        let kind = |address| Endpoint::parse(address).unwrap_err().kind();
        assert_eq!(kind("binary://logger"), Kind::InvalidArgument);
        assert_eq!(kind("file:///a?mode=1"), Kind::Unimplemented);
        assert_eq!(kind("relative"), Kind::InvalidArgument);
        assert_eq!(kind("ftp://host/x"), Kind::InvalidArgument);
        assert_eq!(kind("file:///a%2"), Kind::InvalidArgument);
    }
}

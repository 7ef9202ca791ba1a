//! The file that patterns stand in.

use crate::error::{Error, Result};
use crate::text::path;

/// The ignore file of all Dockerfiles in a context.
const COMMON: &str = ".dockerignore";

/// Where the patterns for a Dockerfile are looked for: beside it, and at the top of the context. The
/// first that is there counts.
#[must_use]
pub fn names(dockerfile: &str) -> [String; 2] {
    [format!("{dockerfile}{COMMON}"), COMMON.to_owned()]
}

/// The patterns in a file, clean, and without the slash that an absolute path begins with.
///
/// # Errors
/// A line that is not in UTF-8.
pub fn patterns(bytes: &[u8]) -> Result<Vec<String>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut patterns = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.starts_with(b"#") {
            continue;
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::new(format!("line {} of {COMMON} is not in UTF-8", index + 1)))?;
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (exception, pattern) = match line.strip_prefix('!') {
            Some(pattern) => ("!", pattern.trim()),
            None => ("", line),
        };
        patterns.push(format!("{exception}{}", relative(pattern)));
    }
    Ok(patterns)
}

fn relative(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let clean = path::clean(pattern);
    match clean.strip_prefix('/') {
        Some(relative) if !relative.is_empty() => relative.to_owned(),
        _ => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_patterns() {
        let file =
            b"\xef\xbb\xbftest1\n# no\n  # a pattern\n/test2/\r\n\n ! /a/../b/c\n!\n.\n/\na//b";
        let expected = ["test1", "# a pattern", "test2", "!b/c", "!", ".", "/", "a/b"];
        assert_eq!(patterns(file).unwrap(), expected);
        assert!(patterns(b"# \xff").unwrap().is_empty());
        assert!(patterns(b"a\n\xff").unwrap_err().to_string().contains("line 2"));
        assert_eq!(names("d/Dockerfile"), ["d/Dockerfile.dockerignore", ".dockerignore"]);
    }
}

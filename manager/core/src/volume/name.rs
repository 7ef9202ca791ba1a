//! Names of volumes.

use crate::error::{Error, Result};

/// The name of a volume, if it may be one.
///
/// # Errors
/// Invalid, in docker's words, unless it is `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn check(name: &str) -> Result<&str> {
    let bytes = name.as_bytes();
    if bytes.len() == 1 {
        return Err(Error::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric \
             characters"
        )));
    }
    let legal = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
    if legal {
        return Ok(name);
    }
    Err(Error::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_docker_allows() {
        for name in ["ab", "9.data-1_x", "A.."] {
            assert_eq!(check(name).unwrap(), name);
        }
        for name in ["", "-a", ".a", "..", "a b", "a/b", "/a", "ä1", "ab\n", "a:"] {
            let error = check(name).unwrap_err().to_string();
            assert!(error.contains("includes invalid characters"), "{error}");
        }
        assert!(check("a").unwrap_err().to_string().starts_with("create a: volume name is too"));
    }
}

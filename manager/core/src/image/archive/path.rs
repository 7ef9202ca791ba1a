//! Paths of an archive's members, made plain: relative to the root, without `.`, `..` and `//`.

use crate::error::{Error, Result};

/// The longest path that a program in the container could name.
const LONGEST: usize = 4095;

/// `path` as seen from the root: a leading slash means nothing, `..` ends at the root.
pub(crate) fn plain(path: &[u8]) -> Result<Vec<u8>> {
    if path.len() > LONGEST {
        return Err(Error::invalid("the path is longer than 4095 bytes"));
    }
    let mut plain = Vec::with_capacity(path.len());
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = parent(&plain).len();
                plain.truncate(parent);
            }
            name => push(&mut plain, name),
        }
    }
    Ok(plain)
}

/// Appends the component `name`.
pub(crate) fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// `path/name`.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = path.to_vec();
    push(&mut joined, name);
    joined
}

/// The directory part of a plain path; of the root, the root.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// The directory part and the last component of a plain path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Whether the plain path `path` is `directory` or below it.
pub(crate) fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("/a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b", "b"),
            ("a/b/../c", "a/c"),
            ("./", ""),
            ("..", ""),
            ("...", "..."),
        ] {
            assert_eq!(plain(path.as_bytes()).unwrap(), expected.as_bytes(), "{path}");
        }
        assert!(plain(&[b'a'; 5000]).is_err());
    }

    #[test]
    fn containment_is_by_component() {
        assert!(is_within(b"a/b", b"a"));
        assert!(is_within(b"a", b"a"));
        assert!(is_within(b"a", b""));
        assert!(!is_within(b"ab", b"a"));
        assert!(!is_within(b"a", b"a/b"));
    }
}

//! Paths as text. What they lead to is for those to find who have a root to find it in.

/// The shortest path of the same meaning: no empty parts, no `.`, and `..` only at the beginning of
/// a relative one.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                _ => _ = parts.pop(),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.as_str()) {
        (true, _) => format!("/{joined}"),
        (false, "") => ".".to_owned(),
        (false, _) => joined,
    }
}

/// `path` from `parent`, clean; an absolute one is made to begin there as well.
pub(crate) fn join(parent: &str, path: &str) -> String {
    match (parent, path) {
        ("", "") => String::new(),
        ("", path) => clean(path),
        (parent, "") => clean(parent),
        (parent, path) => clean(&format!("{parent}/{path}")),
    }
}

/// The last part of a path.
pub(crate) fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (path, trimmed.rsplit('/').next()) {
        ("", _) => ".",
        (_, Some(base)) if !base.is_empty() => base,
        _ => "/",
    }
}

/// An absolute path: `path` as it is, or from the directory `parent` if it is relative.
pub(crate) fn absolute(parent: &str, path: &str) -> String {
    let parent = join("/", parent);
    match path {
        "" => parent,
        path if path.starts_with('/') => path.to_owned(),
        path => join(&parent, path),
    }
}

/// The same for where something is put: that the path ends in `/` or `/.` says it is a directory.
pub(crate) fn destination(parent: &str, path: &str) -> String {
    let path = if path == "." || path.is_empty() { "./" } else { path };
    let mut found = absolute(parent, path);
    if path.ends_with('/') && !found.ends_with('/') {
        found.push('/');
    } else if path.ends_with("/.") && !found.ends_with("/.") {
        if found != "/" {
            found.push('/');
        }
        found.push('.');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_paths_are_the_shortest() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("a/../..", ".."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/a/./b/..", "/a"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn joined_paths_stay_below() {
        assert_eq!(join("/a", "/b"), "/a/b");
        assert_eq!(join("/a", "../../b"), "/b");
        assert_eq!(join("", ""), "");
        assert_eq!((base("/a/b/"), base("/"), base(""), base("a")), ("b", "/", ".", "a"));
    }

    #[test]
    fn destinations_keep_what_makes_them_directories() {
        for (parent, path, expected) in [
            ("/w", "a", "/w/a"),
            ("/w", "a/", "/w/a/"),
            ("/w", ".", "/w/"),
            ("/w", "", "/w/"),
            ("/w", "/x/.", "/x/."),
            ("/w", "x/.", "/w/x/."),
            ("/", ".", "/"),
            ("/w", "..", "/"),
            ("/w", "/a/../b", "/a/../b"),
        ] {
            assert_eq!(destination(parent, path), expected, "{parent} {path}");
        }
    }
}

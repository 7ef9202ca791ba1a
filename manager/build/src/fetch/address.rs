//! Addresses as they are shown: without what proves who asks.

/// The part of an address before its host: `user:password@`.
fn user_of(address: &str) -> Option<(usize, usize)> {
    let start = address.find("://")? + 3;
    let end = address[start..].find(['/', '?', '#']).map_or(address.len(), |end| start + end);
    let at = address[start..end].rfind('@')?;
    Some((start, start + at))
}

/// The address without a user's name and password.
#[must_use]
pub fn shown(address: &str) -> String {
    match user_of(address) {
        Some((start, end)) => {
            let hidden = if address[start..end].contains(':') { "xxxxx:xxxxx" } else { "xxxxx" };
            format!("{}{hidden}{}", &address[..start], &address[end..])
        }
        None => address.to_owned(),
    }
}

/// The host of an address, with its port if it has one.
pub(super) fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let whole = rest.split(['/', '?', '#']).next().unwrap_or_default();
    whole.rsplit_once('@').map_or(whole, |(_, host)| host)
}

/// Whether it is reached by ssh: `ssh://host/path`, `user@host:path`.
pub(super) fn is_ssh(address: &str) -> bool {
    address.starts_with("ssh://") || !address.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (address, expected) in [
            ("https://u:p@x/a.git", "https://xxxxx:xxxxx@x/a.git"),
            ("ssh://git@x:22/a", "ssh://xxxxx@x:22/a"),
            ("https://x/a@b", "https://x/a@b"),
            ("git@x:y", "git@x:y"),
        ] {
            assert_eq!(shown(address), expected);
        }
        assert_eq!(host("https://u:p@x:8080/a@b"), "x:8080");
        assert!(is_ssh("git@x:y") && is_ssh("ssh://x/y") && !is_ssh("https://x/y"));
    }
}

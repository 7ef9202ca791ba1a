//! Wildcards, as Go's `filepath.Match` has them: for one name each, since none stands for a slash.

/// Whether a path has any.
pub(super) fn are_in(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// The directory that a path with wildcards leads to before the first.
pub(super) fn top(path: &str) -> String {
    let names = path.split('/').filter(|name| !name.is_empty());
    let plain: Vec<&str> = names.take_while(|name| !are_in(name)).collect();
    format!("/{}", plain.join("/")).replace('\\', "")
}

/// Whether `name` is one of those that `pattern` stands for. One that isn't well-formed stands for
/// none.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Where the last star is, and how much of the name it has taken.
    let (mut at, mut of_name, mut star) = (0, 0, None);
    loop {
        let step = match pattern.get(at) {
            None if of_name == name.len() => return true,
            None => None,
            Some('*') => {
                star = Some((at, of_name));
                at += 1;
                continue;
            }
            Some(_) => match name.get(of_name) {
                None => None,
                Some(c) => one(&pattern[at..], *c),
            },
        };
        match (step, star) {
            (Some(length), _) => {
                at += length;
                of_name += 1;
            }
            (None, Some((after, taken))) if taken < name.len() => {
                star = Some((after, taken + 1));
                at = after + 1;
                of_name = taken + 1;
            }
            (None, _) => return false,
        }
    }
}

/// How much of `pattern` is about one character, if it may be `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' => (*pattern.get(1)? == c).then_some(2),
        '[' => class(pattern, c),
        literal => (*literal == c).then_some(1),
    }
}

/// The same for `[a-z]`.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let (mut found, mut ranges) = (false, 0);
    loop {
        if pattern.get(at) == Some(&']') && ranges > 0 {
            return (found != negated).then_some(at + 1);
        }
        let low = bound(pattern, &mut at)?;
        let high = match pattern.get(at) {
            Some('-') => {
                at += 1;
                bound(pattern, &mut at)?
            }
            _ => low,
        };
        found |= (low..=high).contains(&c);
        ranges += 1;
    }
}

fn bound(pattern: &[char], at: &mut usize) -> Option<char> {
    let mut c = *pattern.get(*at)?;
    if matches!(c, '-' | ']') {
        return None;
    }
    if c == '\\' {
        *at += 1;
        c = *pattern.get(*at)?;
    }
    *at += 1;
    Some(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[\\]a]", "]", true),
            ("[]a]", "]", false),
            ("[a", "a", false),
            ("[-]", "-", false),
            ("*.txt", "é.txt", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(are_in("a/*/b") && are_in("a?") && are_in("[x]"));
        assert!(!are_in("a\\*/b"));
    }

    proptest! {
        #[test]
        fn anything_may_be_written(pattern: String, name: String) {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn a_name_stands_for_itself(name in "[a-zA-Z0-9._ -]{0,20}") {
            prop_assert!(matches(&name, &name));
        }
    }
}

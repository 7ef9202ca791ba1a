//! What a misspelt word may have been meant to be.

/// Words that are further away are no misspellings.
const FARTHEST: usize = 2;
/// Nobody misspells words longer than this; comparing them would take long.
const LONGEST: usize = 64;
/// Nor is it worth it to look at more options than these.
const MOST: usize = 1_000;

/// The option that is closest to `word`, if one is close and none is the same.
pub(crate) fn closest<'a>(
    word: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    let characters: Vec<char> = word.chars().take(LONGEST + 1).collect();
    for option in options.into_iter().take(MOST) {
        if option == word {
            return None;
        }
        let limit = best.map_or(FARTHEST, |(distance, _)| distance - 1);
        if let Some(distance) = distance(&characters, option, limit) {
            best = Some((distance, option));
        }
    }
    best.map(|(_, option)| option)
}

/// How many characters have to be added, removed or changed, if no more than `limit`.
fn distance(word: &[char], option: &str, limit: usize) -> Option<usize> {
    let length = option.chars().take(LONGEST + 1).count();
    if word.len().max(length) > LONGEST || word.len().abs_diff(length) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (i, theirs) in option.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, ours) in word.iter().enumerate() {
            let changed = diagonal + usize::from(*ours != theirs);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_suggested() {
        for (word, expected) in [
            ("chow", Some("chown")),
            ("chmd", Some("chmod")),
            ("chown", None),
            ("lnik", Some("link")),
            ("whatever", None),
            ("", None),
        ] {
            assert_eq!(closest(word, ["chown", "chmod", "link"]), expected, "{word}");
        }
        assert_eq!(closest("ab", ["abc", "ab1", "b"]), Some("abc"), "the first of the closest");
    }
}

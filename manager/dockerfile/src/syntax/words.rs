//! Words between spaces, with their quotes.

/// The words of `rest`. Spaces in quotes and behind an escape don't end one.
pub(super) fn split(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = rest.chars().peekable();
    while let Some(c) = characters.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take().filter(|word| !word.is_empty()));
            continue;
        }
        let word = word.get_or_insert_default();
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            // Nothing escapes between single quotes.
            (c, quote) if c == escape && quote != Some('\'') => {
                if let Some(escaped) = characters.next() {
                    word.push(c);
                    word.push(escaped);
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    words.extend(word.filter(|word| !word.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stay_and_keep_words_together() {
        for (rest, expected) in [
            ("a b", vec!["a", "b"]),
            ("a=\"b c\" d", vec!["a=\"b c\"", "d"]),
            ("a='b \\' c", vec!["a='b \\'", "c"]),
            ("a=b\\ c", vec!["a=b\\ c"]),
            ("a=\"\\\" b\"", vec!["a=\"\\\" b\""]),
            ("\"\"", vec!["\"\""]),
            ("a \\", vec!["a"]),
            ("a=\"b", vec!["a=\"b"]),
            ("", vec![]),
        ] {
            assert_eq!(split(rest, '\\'), expected, "{rest}");
        }
    }
}

//! Strings in double quotes, as `%q` writes them.

/// `text` in quotes, with escapes for what could not be read.
pub(crate) fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|c| escaped(c, '"')).collect();
    format!("\"{escaped}\"")
}

/// The character with this number, in quotes: this is what `%q` makes of a number.
pub(crate) fn quoted_number(number: i64) -> String {
    let c = u32::try_from(number).ok().and_then(char::from_u32);
    format!("'{}'", escaped(c.unwrap_or(char::REPLACEMENT_CHARACTER), '\''))
}

fn escaped(c: char, quote: char) -> String {
    match c {
        c if c == quote || c == '\\' => format!("\\{c}"),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        c if is_printable(c) => c.to_string(),
        c => match u32::from(c) {
            n @ 0..=0x7f => format!("\\x{n:02x}"),
            n @ 0x80..=0xffff => format!("\\u{n:04x}"),
            n => format!("\\U{n:08x}"),
        },
    }
}

/// A list of quoted strings, as `%q` writes a list: `["a" "b"]`.
pub(crate) fn quoted_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(" "))
}

fn is_printable(c: char) -> bool {
    matches!(c, ' ' | '\'' | '"') || (!c.is_whitespace() && c.escape_debug().next() != Some('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_gos() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            ("it's \"so\"", r#""it's \"so\"""#),
            ("\\ \n\t\r\x07", r#""\\ \n\t\r\a""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("ü€👽", r#""ü€👽""#),
            ("\u{a0}\u{200b}\u{feff}", r#""\u00a0\u200b\ufeff""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
        let numbers = [0, 3, 10, 39, 65].map(quoted_number);
        assert_eq!(numbers, [r"'\x00'", r"'\x03'", r"'\n'", r"'\''", "'A'"]);
        assert_eq!(quoted_list(&["a".into(), "b c".into()]), r#"["a" "b c"]"#);
        assert_eq!(quoted_list(&[]), "[]");
    }
}

//! What is said of text that is no JSON: clients know Go's words for it.

/// What is wrong with the JSON that `bytes` begin with; none if Go would find nothing.
pub(super) fn complaint(bytes: &[u8]) -> Option<String> {
    match (Reader { rest: bytes.iter() }).value() {
        Ok(()) => None,
        Err(Wrong::CutOff) => Some("unexpected EOF".to_owned()),
        Err(Wrong::Character(byte, place)) => {
            Some(format!("invalid character {} {place}", quoted(byte)))
        }
    }
}

/// What is wrong.
enum Wrong {
    CutOff,
    /// This byte, where something else must be.
    Character(u8, String),
}

/// Something that has been begun, and not ended.
#[derive(Clone, Copy)]
enum Open {
    Object,
    Array,
}

struct Reader<'a> {
    rest: std::slice::Iter<'a, u8>,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<(), Wrong> {
        let mut open = Vec::new();
        loop {
            match self.next_visible()? {
                b'{' => {
                    open.push(Open::Object);
                    match self.next_visible()? {
                        b'}' => _ = open.pop(),
                        byte => {
                            self.key(byte)?;
                            continue;
                        }
                    }
                }
                b'[' => {
                    open.push(Open::Array);
                    let ahead = self.rest.clone();
                    match self.next_visible()? {
                        b']' => _ = open.pop(),
                        _ => {
                            self.rest = ahead;
                            continue;
                        }
                    }
                }
                b'"' => self.string()?,
                byte @ (b'-' | b'0'..=b'9') => self.number(byte)?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                byte => return wrong(byte, "looking for beginning of value"),
            }
            if !self.goes_on(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Ends what ends behind a value; whether another value follows.
    fn goes_on(&mut self, open: &mut Vec<Open>) -> Result<bool, Wrong> {
        while let Some(innermost) = open.last().copied() {
            match (innermost, self.next_visible()?) {
                (Open::Object, b',') => {
                    let byte = self.next_visible()?;
                    self.key(byte)?;
                    return Ok(true);
                }
                (Open::Array, b',') => return Ok(true),
                (Open::Object, b'}') | (Open::Array, b']') => _ = open.pop(),
                (Open::Object, byte) => return wrong(byte, "after object key:value pair"),
                (Open::Array, byte) => return wrong(byte, "after array element"),
            }
        }
        Ok(false)
    }

    /// A key that begins with this byte, and its colon.
    fn key(&mut self, byte: u8) -> Result<(), Wrong> {
        if byte != b'"' {
            return wrong(byte, "looking for beginning of object key string");
        }
        self.string()?;
        match self.next_visible()? {
            b':' => Ok(()),
            byte => wrong(byte, "after object key"),
        }
    }

    fn string(&mut self) -> Result<(), Wrong> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return wrong(byte, "in \\u hexadecimal character escape");
                            }
                        }
                    }
                    byte => return wrong(byte, "in string escape code"),
                },
                byte if byte < b' ' => return wrong(byte, "in string literal"),
                _ => {}
            }
        }
    }

    fn number(&mut self, first: u8) -> Result<(), Wrong> {
        let first = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.follows(b".") {
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if self.follows(b"eE") {
            let _ = self.follows(b"+-");
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Result<u8, Wrong> {
        match self.next()? {
            byte @ b'0'..=b'9' => Ok(byte),
            byte => wrong(byte, place),
        }
    }

    fn digits(&mut self) {
        while self.follows(b"0123456789") {}
    }

    /// The rest of a word whose first letter was read.
    fn literal(&mut self, word: &str) -> Result<(), Wrong> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let expected = char::from(expected);
                return wrong(byte, &format!("in literal {word} (expecting '{expected}')"));
            }
        }
        Ok(())
    }

    /// Reads the next byte if it is one of these.
    fn follows(&mut self, bytes: &[u8]) -> bool {
        let is_there = self.rest.as_slice().first().is_some_and(|byte| bytes.contains(byte));
        if is_there {
            self.rest.next();
        }
        is_there
    }

    fn next(&mut self) -> Result<u8, Wrong> {
        self.rest.next().copied().ok_or(Wrong::CutOff)
    }

    fn next_visible(&mut self) -> Result<u8, Wrong> {
        while self.follows(b" \t\r\n") {}
        self.next()
    }
}

fn wrong<T>(byte: u8, place: &str) -> Result<T, Wrong> {
    Err(Wrong::Character(byte, place.to_owned()))
}

/// A byte as Go quotes it: as the character of that number.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        byte if char::from(byte).is_control() => format!("'\\x{byte:02x}'"),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        for (text, said) in [
            ("{invalid", "invalid character 'i' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("<html>", "invalid character '<' looking for beginning of value"),
            ("nul!", "invalid character '!' in literal null (expecting 'l')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("{\"a\":[{\"b\":", "unexpected EOF"),
        ] {
            assert_eq!(complaint(text.as_bytes()).as_deref(), Some(said), "{text}");
        }
    }

    #[test]
    fn nothing_is_said_of_json() {
        for text in
            ["{}", "[]", " {\"a\": [1, -2.5e+3, {}, [], \"\\u00e9\\n\"], \"b\": null}", "true"]
        {
            assert_eq!(complaint(text.as_bytes()), None, "{text}");
        }
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        assert_eq!(complaint(deep.as_bytes()), None);
    }
}

//! JSON strings as docker writes them.

/// Appends `text` as the inside of a JSON string, with docker's escapes: those that HTML needs
/// included, and U+FFFD for every byte that is no UTF-8.
pub(super) fn append_escaped(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        append_escaped_utf8(chunk.valid().as_bytes(), out);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether it is ASCII without anything to escape, as most lines are. All bytes are looked at, since
/// the compiler makes of that a look at many at once.
fn is_plain(text: &[u8]) -> bool {
    // No `matches!`: of plain comparisons the compiler makes such a look.
    let odd = |byte: u8| {
        !(0x20..0x80).contains(&byte)
            | (byte == b'"')
            | (byte == b'\\')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'&')
    };
    !text.iter().fold(false, |any, byte| any | odd(*byte))
}

/// Bytes that can't be copied as they are, or (0xe2) begin a character that might not.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'&' as usize] = true;
    special[0xe2] = true;
    special
};

fn append_escaped_utf8(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|byte| SPECIAL[usize::from(*byte)]) {
        let (plain, rest) = text.split_at(at);
        out.extend_from_slice(plain);
        let used = match rest {
            [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                3
            }
            [first, ..] => {
                append_escaped_byte(*first, out);
                1
            }
            [] => 0,
        };
        text = rest.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(text);
}

fn append_escaped_byte(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        0xe2 => out.push(byte),
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        append_escaped(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_as_docker_does() {
        assert_eq!(escaped(b"plain"), "plain");
        assert_eq!(escaped(b"a\"b\\c\nd\re\tf\x00"), "a\\\"b\\\\c\\nd\\re\\u0009f\\u0000");
        assert_eq!(escaped(b"<a> & \x7f"), "\\u003ca\\u003e \\u0026 \x7f");
        assert_eq!(
            escaped("🚀 ψ \u{2028}\u{2029}\u{2026}".as_bytes()),
            "🚀 ψ \\u2028\\u2029\u{2026}"
        );
        assert_eq!(
            escaped(b"\xaf \xe2\x80 \xed\xa0\x80"),
            "\\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd"
        );
    }
}

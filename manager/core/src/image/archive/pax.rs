//! PAX records: `length key=value\n`, one after the other, which override a header's fields.

use super::entry::ModifiedAt;
use super::header::{Fields, owner};
use crate::error::{Error, Result};

/// The prefix of records that hold extended attributes.
pub(super) const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Records that are being written.
#[derive(Default)]
pub(super) struct Written(Vec<(Vec<u8>, Vec<u8>)>);

impl Written {
    /// Adds a record.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), value.to_vec()));
    }

    /// Takes the records of `key` out.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of a PAX header.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (key, value) in &self.0 {
            // The length counts its own digits too.
            let rest = key.len() + value.len() + " =\n".len();
            let mut length = rest;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend_from_slice(length.to_string().as_bytes());
            for part in [b" ", key.as_slice(), b"=", value, b"\n"] {
                content.extend_from_slice(part);
            }
        }
        content
    }
}

/// `[-]seconds[.fraction]`, as [`parse_time`] reads it.
pub(super) fn written_time(at: ModifiedAt) -> String {
    let ModifiedAt { seconds, nanoseconds } = at;
    // Below zero, the fraction counts backwards.
    let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
        (false, part) => ("", seconds.unsigned_abs(), part),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, part) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - part),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The records in front of one member.
#[derive(Default)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Reads the content of a PAX header.
    pub(super) fn parse(mut content: &[u8]) -> Result<Self> {
        let mut records = Vec::new();
        while !content.is_empty() {
            let (record, rest) = split_record(content).ok_or_else(damaged)?;
            records.push(record);
            content = rest;
        }
        Ok(Self(records))
    }

    /// The last value of `key`: a later record overrides an earlier one.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(name, _)| name == key.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// The value of `key` as a number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key).map(decimal).transpose()
    }

    /// Every record in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Overrides the fields that records name.
    pub(super) fn apply(&self, fields: &mut Fields) -> Result<()> {
        if let Some(path) = self.get("path") {
            fields.path = path.to_vec();
        }
        if let Some(link) = self.get("linkpath") {
            fields.link = link.to_vec();
        }
        if let Some(size) = self.number("size")? {
            fields.size = size;
        }
        if let Some(uid) = self.number("uid")? {
            fields.uid = owner(i64::try_from(uid).unwrap_or(i64::MAX))?;
        }
        if let Some(gid) = self.number("gid")? {
            fields.gid = owner(i64::try_from(gid).unwrap_or(i64::MAX))?;
        }
        if let Some(time) = self.get("mtime") {
            fields.modified = parse_time(time).ok_or_else(damaged)?;
        }
        Ok(())
    }

    /// The extended attributes.
    pub(super) fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let attributes = self.iter().filter_map(|(key, value)| {
            key.strip_prefix(ATTRIBUTE).map(|name| (name.to_vec(), value.to_vec()))
        });
        attributes.collect()
    }
}

type Record = (Vec<u8>, Vec<u8>);

/// The first record and what follows it. The length counts all of the record; a value may hold
/// any bytes, newlines too.
fn split_record(content: &[u8]) -> Option<(Record, &[u8])> {
    let space = content.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(content.get(..space)?).ok()?).ok()?;
    let body = content.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = body.split_at(equals);
    Some(((key.to_vec(), value.get(1..)?.to_vec()), content.get(length..)?))
}

/// A decimal number as PAX and GNU's sparse maps write it.
pub(super) fn decimal(digits: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(digits).map_err(|_| damaged())?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().map_err(|_| damaged()) } else { Err(damaged()) }
}

/// `[-]seconds[.fraction]`, rounded down to a nanosecond.
fn parse_time(text: &[u8]) -> Option<ModifiedAt> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    let seconds = i64::try_from(decimal(digits.as_bytes()).ok()?).ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse::<u32>().ok()?;
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => ModifiedAt { seconds, nanoseconds },
        (true, 0) => ModifiedAt { seconds: -seconds, nanoseconds: 0 },
        (true, part) => ModifiedAt { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - part },
    })
}

fn damaged() -> Error {
    Error::invalid("invalid tar header: its PAX records are damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_anything() {
        let records = Records::parse(b"16 a=b\nc=d\n\0\n=e\n6 x=y\n").unwrap();
        assert_eq!(records.get("a").unwrap(), b"b\nc=d\n\0\n=e");
        assert_eq!(records.get("x").unwrap(), b"y");
        assert_eq!(records.get("b"), None);
    }

    #[test]
    fn damage_is_noticed() {
        for bad in [&b"5 a=b\n"[..], b"99 a=b\n", b" a=b\n", b"6 aab\n", b"-6 a=b\n", b"6", b"0 "] {
            assert!(Records::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_have_nanoseconds_and_a_sign() {
        let at = |seconds, nanoseconds| Some(ModifiedAt { seconds, nanoseconds });
        assert_eq!(parse_time(b"12"), at(12, 0));
        assert_eq!(parse_time(b"12.000000345999"), at(12, 345));
        assert_eq!(parse_time(b"-1.25"), at(-2, 750_000_000));
        assert_eq!(parse_time(b"-3"), at(-3, 0));
        assert_eq!(parse_time(b"1.-5"), None);
        assert_eq!(parse_time(b"99999999999999999999"), None);
    }
}

//! The wire format of D-Bus, as far as a conversation with systemd needs it.
//!
//! A message is a header of fixed parts and fields, padded to eight bytes, and a body. Every value
//! is aligned to its own size, counted from the start of the message; both parts start on eight
//! bytes, so each can be written by itself.

/// A value of a unit's property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `s`
    Text(String),
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `u`
    Short(u32),
    /// `i`
    Signed(i32),
    /// `as`
    Texts(Vec<String>),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    /// systemd.
    Systemd,
    /// The message bus itself.
    Bus,
}

impl Callee {
    /// Its name, the path of its object and the interface of that.
    fn names(self) -> [&'static str; 3] {
        match self {
            Callee::Systemd => [
                "org.freedesktop.systemd1",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager",
            ],
            Callee::Bus => {
                ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"]
            }
        }
    }
}

/// A call of a method.
pub(super) struct Call<'a> {
    /// Whose.
    pub(super) callee: Callee,
    /// The method.
    pub(super) member: &'a str,
    /// The types of its arguments; none if empty.
    pub(super) signature: &'a str,
    /// The arguments.
    pub(super) body: Writer,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The call with this serial number succeeded.
    Returned(u32),
    /// The call with this serial number failed.
    Failed {
        /// Its serial number.
        serial: u32,
        /// The error's name.
        name: String,
        /// Its text, for people.
        text: String,
    },
    /// A signal, or anything else that was not asked for.
    Other,
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

// The fields of a header.
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

/// The fixed part of a header, with the length of the fields.
pub(super) const FIXED: usize = 16;

/// The longest message (by the specification, 128 MiB; systemd's answers are far shorter).
const LONGEST: usize = 1 << 20;

impl Call<'_> {
    /// The message's bytes.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let [destination, path, interface] = self.callee.names();
        let mut message = Writer::default();
        message.bytes.extend([b'l', METHOD_CALL, 0, 1]);
        message.u32(u32::try_from(self.body.bytes.len()).unwrap_or(u32::MAX));
        message.u32(serial);
        message.array(8, |fields| {
            for (field, kind, value) in [
                (FIELD_PATH, "o", path),
                (FIELD_INTERFACE, "s", interface),
                (FIELD_MEMBER, "s", self.member),
                (FIELD_DESTINATION, "s", destination),
            ] {
                fields.align(8);
                fields.bytes.push(field);
                fields.signature(kind);
                fields.text(value);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.bytes.push(FIELD_SIGNATURE);
                fields.signature("g");
                fields.signature(self.signature);
            }
        });
        message.align(8);
        message.bytes.extend(&self.body.bytes);
        message.bytes
    }
}

/// Writes values one after another.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, size: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    /// A string: its length, itself, and a zero.
    pub(super) fn text(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// A truth value.
    pub(super) fn flag(&mut self, flag: bool) {
        self.u32(u32::from(flag));
    }

    /// An array of numbers.
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |array| numbers.iter().for_each(|number| array.u32(*number)));
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// An array: the length of its elements in bytes, and the elements, which `write` writes. The
    /// padding before the first one does not count.
    pub(super) fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Writer)) {
        self.align(4);
        let length_at = self.bytes.len();
        self.u32(0);
        self.align(alignment);
        let begin = self.bytes.len();
        write(self);
        let length = u32::try_from(self.bytes.len() - begin).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Properties: an array of pairs of a name and a value with its type, `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(&str, Value)]) {
        self.array(8, |array| {
            for (name, value) in properties {
                array.align(8);
                array.text(name);
                array.value(value);
            }
        });
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Flag(flag) => {
                self.signature("b");
                self.flag(*flag);
            }
            Value::Number(number) => {
                self.signature("t");
                self.align(8);
                self.bytes.extend(number.to_le_bytes());
            }
            Value::Short(number) => {
                self.signature("u");
                self.u32(*number);
            }
            Value::Signed(number) => {
                self.signature("i");
                self.u32(number.cast_unsigned());
            }
            Value::Texts(texts) => {
                self.signature("as");
                self.array(4, |array| texts.iter().for_each(|text| array.text(text)));
            }
            Value::Numbers(numbers) => {
                self.signature("au");
                self.numbers(numbers);
            }
            Value::Bytes(bytes) => {
                self.signature("ay");
                self.array(1, |array| array.bytes.extend(bytes));
            }
            Value::Pairs(pairs) => {
                self.signature("a(ss)");
                self.array(8, |array| {
                    for (first, second) in pairs {
                        array.align(8);
                        array.text(first);
                        array.text(second);
                    }
                });
            }
        }
    }
}

/// How long a message is of which the fixed part is known; nothing if it is no message.
pub(super) fn length(fixed: &[u8; FIXED]) -> Option<usize> {
    let mut reader = Reader { bytes: fixed, at: 0 };
    if reader.byte()? != b'l' {
        return None;
    }
    reader.at = 4;
    let body = reader.u32()? as usize;
    reader.at = 12;
    let fields = reader.u32()? as usize;
    let whole = FIXED.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (whole <= LONGEST).then_some(whole)
}

/// Reads a whole message.
pub(super) fn decode(message: &[u8]) -> Option<Received> {
    let mut reader = Reader { bytes: message, at: 1 };
    let kind = reader.byte()?;
    reader.at = 12;
    let fields_end = FIXED.checked_add(reader.u32()? as usize)?;
    let (mut serial, mut name, mut signature) = (None, String::new(), String::new());
    while reader.at < fields_end {
        reader.align(8);
        let field = reader.byte()?;
        let value_kind = reader.signature()?;
        match (field, value_kind.as_str()) {
            (FIELD_REPLY_SERIAL, "u") => serial = Some(reader.u32()?),
            (FIELD_ERROR_NAME, "s") => name = reader.text()?,
            (FIELD_SIGNATURE, "g") => signature = reader.signature()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.u32()?),
            _ => return None,
        }
    }
    Some(match (kind, serial) {
        (METHOD_RETURN, Some(serial)) => Received::Returned(serial),
        (ERROR, Some(serial)) => {
            reader.at = fields_end.next_multiple_of(8);
            let text = if signature.starts_with('s') { reader.text()? } else { String::new() };
            Received::Failed { serial, name, text }
        }
        _ => Received::Other,
    })
}

/// Reads values one after another; nothing where the bytes end too early.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, size: usize) {
        self.at = self.at.next_multiple_of(size);
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.string(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `kind` in answer to call 7.
    fn answer(kind: u8, error: Option<(&str, &str)>) -> Vec<u8> {
        let mut message = Writer::default();
        let mut body = Writer::default();
        if let Some((_, text)) = error {
            body.text(text);
        }
        message.bytes.extend([b'l', kind, 1, 1]);
        message.u32(body.bytes.len() as u32);
        message.u32(99);
        message.array(8, |fields| {
            fields.bytes.push(FIELD_REPLY_SERIAL);
            fields.signature("u");
            fields.u32(7);
            if let Some((name, _)) = error {
                fields.align(8);
                fields.bytes.push(FIELD_ERROR_NAME);
                fields.signature("s");
                fields.text(name);
                fields.align(8);
                fields.bytes.push(FIELD_SIGNATURE);
                fields.signature("g");
                fields.signature("s");
            }
        });
        message.align(8);
        message.bytes.extend(&body.bytes);
        message.bytes
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(decode(&answer(METHOD_RETURN, None)), Some(Received::Returned(7)));
        let failed = answer(ERROR, Some(("org.example.No", "it did not work")));
        assert_eq!(length(failed[..FIXED].try_into().unwrap()), Some(failed.len()));
        assert_eq!(
            decode(&failed),
            Some(Received::Failed {
                serial: 7,
                name: "org.example.No".to_owned(),
                text: "it did not work".to_owned()
            })
        );
        assert_eq!(decode(&answer(4, None)), Some(Received::Other));
    }

    #[test]
    fn broken_answers_are_no_answers() {
        let failed = answer(ERROR, Some(("org.example.No", "it did not work")));
        for end in 0..failed.len() {
            let read = decode(&failed[..end]);
            assert!(read.is_none(), "{end} bytes: {read:?}");
        }
        let mut huge = failed.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length(huge[..FIXED].try_into().unwrap()), None);
        for at in 0..failed.len() {
            let mut bent = failed.clone();
            bent[at] ^= 0xff;
            let _ = decode(&bent);
        }
    }

    #[test]
    fn values_are_aligned_to_their_size() {
        let mut body = Writer::default();
        body.properties(&[("ab", Value::Number(1)), ("PIDs", Value::Numbers(vec![5]))]);
        let expected: Vec<u8> = [
            &[48, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 0, b'a', b'b', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, b'P', b'I', b'D', b's', 0, 2, b'a', b'u', 0, 0, 0, 0],
            &[4, 0, 0, 0],
        ]
        .concat();
        assert_eq!(body.bytes[..expected.len()], expected);
        assert_eq!(body.bytes[expected.len()..], [5, 0, 0, 0]);
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_message(bytes in crate::fuzz::mutated(&answer(ERROR, Some(("a.b.c", "no such unit"))))) {
            let _ = decode(&bytes);
            if let Some(fixed) = bytes.first_chunk::<FIXED>() {
                proptest::prop_assert!(length(fixed).is_none_or(|length| length <= LONGEST));
            }
        }
    }
}

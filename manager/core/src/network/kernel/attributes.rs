//! Netlink attributes, for the parts of the kernel that no crate has messages for.

/// Says that an attribute's value is attributes.
const NESTED: u16 = 1 << 15;
/// Length of what stands before an attribute's value: its length and kind.
const HEADER: usize = 4;

/// Appends an attribute with this value.
pub(in crate::network) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(((HEADER + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends an attribute whose value is a text, which ends with a zero byte.
pub(in crate::network) fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    let value: Vec<u8> = text.bytes().chain([0]).collect();
    put(bytes, kind, &value);
}

/// Appends an attribute whose value is the attributes that `fill` appends.
pub(in crate::network) fn put_nested(
    bytes: &mut Vec<u8>,
    kind: u16,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let mut value = Vec::new();
    fill(&mut value);
    put(bytes, kind | NESTED, &value);
}

/// The value of the first attribute of this kind.
pub(in crate::network) fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(half_word(attributes, 0)?);
        let found = half_word(attributes, 2)? & !NESTED;
        let value = attributes.get(HEADER..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// The value of the attribute that these kinds lead to, each inside the one before.
pub(in crate::network) fn find_nested<'a>(attributes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(attributes, |attributes, kind| find(attributes, *kind))
}

/// The two bytes at `at`, in the machine's order.
pub(super) fn half_word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, &[7]);
        put_nested(&mut bytes, 2, |inner| {
            put_text(inner, 1, "no");
            put_text(inner, 3, "yes");
        });
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 1).unwrap(), [7]);
        assert_eq!(find_nested(&bytes, &[2, 3]).unwrap(), b"yes\0");
        assert_eq!(find(&bytes, 3), None);
    }

    #[test]
    fn damage_is_not_found() {
        for bytes in [&[1][..], &[8, 0, 1, 0, 5], &[0, 0, 2, 0, 0, 0], &[3, 0, 1, 0]] {
            assert_eq!(find(bytes, 1), None, "{bytes:?}");
        }
    }
}

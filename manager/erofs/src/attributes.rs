//! Extended attributes, which follow their inode.

use std::io;

use crate::data::invalid;
use crate::disk::take;
use crate::tree::Attributes;

/// Bytes before the first attribute.
const HEADER: usize = 12;

/// A kind of name, by a number in place of its beginning.
const KINDS: [(u8, &[u8]); 5] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// Whether they can be written.
pub(crate) fn check(attributes: &Attributes) -> io::Result<()> {
    if attributes.modified.nanoseconds >= 1_000_000_000 {
        return Err(invalid("a time has a second or more of nanoseconds"));
    }
    for (name, value) in &attributes.extended {
        let fits = split(name).is_some_and(|(_, rest)| rest.len() <= 255);
        if !fits || u16::try_from(value.len()).is_err() {
            let name = String::from_utf8_lossy(name);
            return Err(invalid(&format!("the attribute {name:?} can't be kept")));
        }
    }
    if size(attributes) > HEADER + 4 * usize::from(u16::MAX - 1) {
        return Err(invalid("there are too many extended attributes"));
    }
    Ok(())
}

/// Bytes that they take after their inode.
pub(crate) fn size(attributes: &Attributes) -> usize {
    if attributes.extended.is_empty() {
        return 0;
    }
    let sizes = attributes.extended.iter().map(|(name, value)| {
        let rest = split(name).map_or(0, |(_, rest)| rest.len());
        (4 + rest + value.len()).next_multiple_of(4)
    });
    HEADER + sizes.sum::<usize>()
}

/// What the inode says of them: their size in units.
pub(crate) fn count(attributes: &Attributes) -> u16 {
    match size(attributes) {
        0 => 0,
        size => u16::try_from((size - HEADER) / 4 + 1).unwrap_or(u16::MAX),
    }
}

pub(crate) fn encode(attributes: &Attributes, to: &mut Vec<u8>) {
    if attributes.extended.is_empty() {
        return;
    }
    to.extend([0; HEADER]);
    for (name, value) in &attributes.extended {
        let Some((kind, rest)) = split(name) else { continue };
        let start = to.len();
        to.extend([rest.len() as u8, kind]);
        to.extend((value.len() as u16).to_le_bytes());
        to.extend(rest);
        to.extend(value);
        to.resize(start + (to.len() - start).next_multiple_of(4), 0);
    }
}

/// The names and values that [`encode`] made these bytes of; of other bytes, nothing.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else {
        return bytes.is_empty().then(Vec::new);
    };
    let mut all = Vec::new();
    while !rest.is_empty() {
        let [length, kind] = take(&mut rest)?;
        let value_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let beginning = KINDS.iter().find(|(number, _)| *number == kind)?.1;
        let (own, after) = rest.split_at_checked(usize::from(length))?;
        let (value, after) = after.split_at_checked(value_length)?;
        let name = [beginning, own].concat();
        split(&name)?;
        let padding = (own.len() + value.len()).next_multiple_of(4) - (own.len() + value.len());
        let (zeros, after) = after.split_at_checked(padding)?;
        if zeros.iter().any(|byte| *byte != 0) || name.contains(&0) {
            return None;
        }
        all.push((name, value.to_vec()));
        rest = after;
    }
    (!all.is_empty() && header == [0; HEADER]).then_some(all)
}

/// Bytes that an inode has of them that says so many.
pub(crate) fn size_of_count(count: u16) -> usize {
    if count == 0 { 0 } else { HEADER + (usize::from(count) - 1) * 4 }
}

/// The number of a name's kind, and what is left of it.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    KINDS.iter().find_map(|(kind, beginning)| {
        let rest = name.strip_prefix(*beginning)?;
        // The names of access lists are whole; those of other kinds go on.
        (beginning.ends_with(b".") != rest.is_empty()).then_some((*kind, rest))
    })
}

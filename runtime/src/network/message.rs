//! The few rtnetlink messages that moving a device takes, as bytes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A request under construction.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

/// The bytes of a message's header.
const HEADER: usize = 16;

impl Request {
    /// A request of the type `kind` (RTM_*) with `flags` (NLM_F_*); `fixed` is what stands before
    /// its attributes.
    pub(super) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Request {
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(fixed);
        Request(bytes)
    }

    /// The request with one more attribute.
    pub(super) fn with(mut self, attribute: u16, value: &[u8]) -> Request {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(attribute.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// The bytes to send, under the number `sequence`.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        for (place, byte) in self.0.iter_mut().zip(length.to_ne_bytes()) {
            *place = byte;
        }
        for (place, byte) in self.0.iter_mut().skip(8).zip(sequence.to_ne_bytes()) {
            *place = byte;
        }
        self.0
    }
}

/// `struct ifinfomsg`: a device, and the flags of it that are to change.
pub(super) fn link(index: u32, flags: i32, change: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    let fields = [index, flags as u32, change as u32];
    for (place, byte) in bytes.iter_mut().skip(4).zip(fields.iter().flat_map(|f| f.to_ne_bytes())) {
        *place = byte;
    }
    bytes
}

/// `struct ifaddrmsg`.
pub(super) fn address_header(address: &Address, index: u32) -> [u8; 8] {
    let [a, b, c, d] = index.to_ne_bytes();
    [address.family, address.prefix, 0, address.scope, a, b, c, d]
}

/// One message of an answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// RTM_* or NLMSG_*.
    pub(super) kind: u16,
    /// The number of the request that it answers.
    pub(super) sequence: u32,
    /// All after the header.
    pub(super) body: &'a [u8],
}

/// Splits what was received at once into its messages. What is cut short ends the row.
pub(super) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(..length)?;
        let answer = Answer {
            kind: u16_at(message, 4)?,
            sequence: u32_at(message, 8)?,
            body: message.get(HEADER..)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

/// The error number of an NLMSG_ERROR; 0 is none.
pub(super) fn error_number(body: &[u8]) -> Option<i32> {
    Some((u32_at(body, 0)? as i32).wrapping_neg())
}

/// The index of the device that an RTM_NEWLINK tells of.
pub(super) fn link_index(body: &[u8]) -> Option<u32> {
    u32_at(body, 4)
}

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// AF_INET or AF_INET6.
    pub(super) family: u8,
    /// How many bits name the network.
    pub(super) prefix: u8,
    /// RT_SCOPE_*.
    pub(super) scope: u8,
    /// IFA_F_*.
    pub(super) flags: u32,
    /// The index of its device.
    pub(super) index: u32,
    /// The attributes that make up the address: IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST.
    pub(super) parts: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Reads an RTM_NEWADDR.
    pub(super) fn parse(body: &[u8]) -> Option<Address> {
        let [family, prefix, flags, scope] = *body.first_chunk::<4>()?;
        let mut address = Address {
            family,
            prefix,
            scope,
            flags: flags.into(),
            index: u32_at(body, 4)?,
            parts: Vec::new(),
        };
        for (kind, value) in attributes(body.get(8..)?) {
            match kind {
                libc::IFA_ADDRESS | libc::IFA_LOCAL | libc::IFA_BROADCAST => {
                    address.parts.push((kind, value.to_owned()));
                }
                libc::IFA_FLAGS => address.flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        Some(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |kind| self.parts.iter().find(|(one, _)| *one == kind).map(|(_, value)| value);
        let own = part(libc::IFA_LOCAL).or(part(libc::IFA_ADDRESS));
        let bytes = own.map(Vec::as_slice).unwrap_or_default();
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv4Addr::from(four), self.prefix)
        } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv6Addr::from(sixteen), self.prefix)
        } else {
            write!(f, "of family {}", self.family)
        }
    }
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)?;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let address = Address {
            family: libc::AF_INET as u8,
            prefix: 24,
            scope: 0,
            flags: libc::IFA_F_PERMANENT,
            index: 7,
            parts: vec![
                (libc::IFA_LOCAL, vec![10, 0, 0, 1]),
                (libc::IFA_ADDRESS, vec![1, 2, 3, 4]),
            ],
        };
        let request = Request::new(libc::RTM_NEWADDR, 0, &address_header(&address, 7))
            .with(libc::IFA_FLAGS, &libc::IFA_F_PERMANENT.to_ne_bytes())
            .with(libc::IFA_LABEL, b"eth0\0");
        let request =
            address.parts.iter().fold(request, |request, (kind, value)| request.with(*kind, value));
        let bytes = request.finish(42);
        let mut read = answers(&bytes);
        let answer = read.next().unwrap();
        assert_eq!((answer.kind, answer.sequence), (libc::RTM_NEWADDR, 42));
        assert_eq!(Address::parse(answer.body).unwrap(), address);
        assert_eq!(address.to_string(), "10.0.0.1/24");
        assert!(read.next().is_none());
    }

    #[test]
    fn what_is_cut_short_is_left_out() {
        let bytes = Request::new(libc::RTM_NEWLINK, 0, &link(3, 0, 0)).finish(1);
        assert_eq!(link_index(answers(&bytes).next().unwrap().body), Some(3));
        for length in 0..bytes.len() {
            assert!(answers(&bytes[..length]).next().is_none(), "{length}");
        }
        // A length of zero would never end.
        assert!(answers(&[0; 64]).next().is_none());
        assert!(attributes(&[0; 64]).next().is_none());
    }
}

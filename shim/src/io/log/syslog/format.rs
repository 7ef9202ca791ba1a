//! How a line becomes a syslog message, in the formats that docker has.

use std::fmt::Write;
use std::time::SystemTime;

use super::super::lines::Line;
use crate::clock::{rfc3339_micro, rfc3339_seconds, traditional};
use crate::error::{Error, Result};
use crate::io::hub::Channel;

/// The severities of the two streams (RFC 5424, 6.2.1).
const ERROR: u8 = 3;
const INFORMATIONAL: u8 = 6;

const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// The head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Time and tag, as programs write to their own host's syslog.
    Unix,
    Rfc3164,
    Rfc5424,
    Rfc5424Micro,
}

/// The format of one container's messages.
pub(super) struct Format {
    head: Head,
    facility: u8,
    tag: String,
    hostname: String,
    pid: u32,
}

impl Format {
    /// Reads the options `syslog-format` and `syslog-facility`.
    pub(super) fn new(format: &str, facility: &str, tag: String) -> Result<Self> {
        let head = match format {
            "" => Head::Unix,
            "rfc3164" => Head::Rfc3164,
            "rfc5424" => Head::Rfc5424,
            "rfc5424micro" => Head::Rfc5424Micro,
            _ => return Err(Error::invalid("Invalid syslog format")),
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = hostname.trim_end().to_owned();
        Ok(Format {
            head,
            facility: parse_facility(facility)?,
            tag,
            hostname,
            pid: std::process::id(),
        })
    }

    /// The message for a line, with a newline at its end.
    pub(super) fn message(&self, channel: Channel, line: &Line<'_>) -> Vec<u8> {
        let severity = match channel {
            Channel::Stdout => INFORMATIONAL,
            Channel::Stderr => ERROR,
        };
        let mut head = String::new();
        // Writing to a string doesn't fail.
        let _ = self.write_head(&mut head, self.facility * 8 + severity, line.time);
        let mut message = head.into_bytes();
        message.extend_from_slice(line.text);
        message.push(b'\n');
        message
    }

    fn write_head(&self, out: &mut String, priority: u8, time: SystemTime) -> std::fmt::Result {
        let Format { tag, hostname, pid, .. } = self;
        match self.head {
            Head::Unix => write!(out, "<{priority}>{} {tag}[{pid}]: ", traditional(time)),
            Head::Rfc3164 => {
                write!(out, "<{priority}>{} {hostname} {tag}[{pid}]: ", traditional(time))
            }
            Head::Rfc5424 => {
                let time = rfc3339_seconds(time);
                write!(out, "<{priority}>1 {time} {hostname} {tag} {pid} {tag} - ")
            }
            Head::Rfc5424Micro => {
                let time = rfc3339_micro(time);
                write!(out, "<{priority}>1 {time} {hostname} {tag} {pid} {tag} - ")
            }
        }
    }
}

fn parse_facility(text: &str) -> Result<u8> {
    if text.is_empty() {
        return Ok(3);
    }
    let named = FACILITIES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named
        .or_else(|| text.parse().ok().filter(|number| *number < 24))
        .ok_or_else(|| Error::invalid("invalid syslog facility"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn message(format: &str, facility: &str) -> String {
        let mut format = Format::new(format, facility, "tag".into()).unwrap();
        (format.hostname, format.pid) = ("host".into(), 7);
        let time = UNIX_EPOCH + Duration::new(951_782_401, 1_500_000);
        let line = Line { text: b"hi", partial: false, piece: 0, time };
        String::from_utf8(format.message(Channel::Stdout, &line)).unwrap()
    }

    #[test]
    fn each_format_has_its_head() {
        let unix = message("", "local7");
        assert!(unix.starts_with("<190>") && unix.ends_with(" tag[7]: hi\n"), "{unix:?}");
        let old = message("rfc3164", "");
        assert!(old.starts_with("<30>") && old.ends_with(" host tag[7]: hi\n"), "{old:?}");
        let new = message("rfc5424", "23");
        assert_eq!(new, "<190>1 2000-02-29T00:00:01Z host tag 7 tag - hi\n");
        let new = message("rfc5424micro", "kern");
        assert_eq!(new, "<6>1 2000-02-29T00:00:01.001500Z host tag 7 tag - hi\n");
    }

    #[test]
    fn facilities_are_names_or_numbers() {
        assert_eq!(parse_facility("authpriv").unwrap(), 10);
        for text in ["24", "-1", "x"] {
            assert!(parse_facility(text).is_err());
        }
    }
}

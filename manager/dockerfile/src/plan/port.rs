//! EXPOSE: ports, ranges of them, and forms that nobody should use.

use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::lint::Finding;
use crate::text::quote::quoted;

/// The ports that are meant, as `80/tcp`, and what is odd about how they are written.
pub(super) struct Ports {
    pub(super) ports: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// Reads `[address:][port:]port[-port][/protocol]`.
pub(super) fn read(text: &str) -> Result<Ports> {
    let (address, host, container) = match text.rsplit_once(':') {
        None => ("", "", text),
        Some((before, container)) => match before.rsplit_once(':') {
            None => ("", before, container),
            Some((address, host)) => (address, host, container),
        },
    };
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    let wrong = |what: &str| Error::new(format!("invalid port: {}: {what}", quoted(text)));
    if container.is_empty() {
        return Err(wrong("no port specified"));
    }
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let lower = protocol.to_lowercase();
    if !["tcp", "udp", "sctp"].contains(&lower.as_str()) {
        return Err(wrong(&format!("invalid proto: {protocol}")));
    }
    let mut findings = Vec::new();
    if protocol != lower {
        findings.push(Finding::ExposeProtoCasing { port: text.to_owned() });
    }
    if !address.is_empty() || !host.is_empty() {
        findings.push(Finding::ExposeInvalidFormat { port: text.to_owned() });
    }
    require_address(address)?;
    let (first, last) = range(container)
        .ok_or_else(|| Error::new(format!("invalid containerPort: {container}")))?;
    if !host.is_empty() {
        let (from, to) =
            range(host).ok_or_else(|| Error::new(format!("invalid hostPort: {host}")))?;
        if last - first != to - from && first != last {
            return Err(Error::new(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            )));
        }
    }
    let ports = (first..=last).map(|port| format!("{port}/{lower}")).collect();
    Ok(Ports { ports, findings })
}

fn require_address(text: &str) -> Result<()> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Error::new(format!("invalid IP address: {text}")))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (number(first)?, number(last)?);
    (range.0 <= range.1).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_in_all_forms() {
        for (text, expected, odd) in [
            ("80", vec!["80/tcp"], 0),
            ("80/udp", vec!["80/udp"], 0),
            ("80-82/SCTP", vec!["80/sctp", "81/sctp", "82/sctp"], 1),
            ("8080:80", vec!["80/tcp"], 1),
            ("8080-8090:80", vec!["80/tcp"], 1),
            ("127.0.0.1:8080:80/TCP", vec!["80/tcp"], 2),
            ("[::1]:8080:80", vec!["80/tcp"], 1),
            ("::1:8080:80", vec!["80/tcp"], 1),
            ("0", vec!["0/tcp"], 0),
        ] {
            let found = read(text).unwrap();
            assert_eq!(
                (found.ports, found.findings.len()),
                (expected.iter().map(|p| (*p).to_owned()).collect(), odd)
            );
        }
        for (text, expected) in [
            ("", "invalid port: \"\": no port specified"),
            ("80/x", "invalid port: \"80/x\": invalid proto: x"),
            ("a", "invalid containerPort: a"),
            ("65536", "invalid containerPort: 65536"),
            ("82-80", "invalid containerPort: 82-80"),
            ("x:80", "invalid hostPort: x"),
            ("1-2:80-82", "invalid ranges specified for container and host Ports: 80-82 and 1-2"),
            ("host:1:80", "invalid IP address: host"),
        ] {
            assert_eq!(read(text).err().map(|error| error.to_string()).as_deref(), Some(expected));
        }
    }
}

//! The text of a container's hosts file.

use std::net::IpAddr;
use std::path::Path;

use crate::container::host_config::HostConfig;
use crate::container::link::Linked;
use crate::container::modes::NetworkMode;
use crate::container::record::Container;
use crate::error::{Error, Result};
use crate::network::Sandbox;

/// What every hosts file begins with.
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";
/// What follows where there is IPv6.
const LOOPBACK_IPV6: &str = "::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";
/// The address that users write for that of the host.
const HOST_GATEWAY: &str = "host-gateway";

/// The file of a container that starts with this network stack and is told of these others. From
/// inside, the host is reached at `host`.
pub(super) fn of(
    container: &Container,
    sandbox: Option<&Sandbox>,
    linked: &[Linked],
    host: &[IpAddr],
) -> Result<String> {
    let mut text = LOOPBACK.to_owned();
    if has_ipv6(container) {
        text.push_str(LOOPBACK_IPV6);
    }
    let mut lines = extra_lines(&container.host, host)?;
    lines.extend(linked.iter().flat_map(Linked::hosts_lines));
    lines.retain(|(address, _)| address.is_ipv4() || has_ipv6(container));
    text.extend(lines.into_iter().map(|(address, names)| format!("{address}\t{names}\n")));
    text.extend(own_lines(container, sandbox));
    Ok(text)
}

/// The lines that say where the container itself is.
pub(super) fn own_lines(container: &Container, sandbox: Option<&Sandbox>) -> Vec<String> {
    let names = own_names(&container.config.hostname, &container.config.domainname);
    let endpoints = sandbox.into_iter().flat_map(|sandbox| &sandbox.endpoints);
    let interfaces = endpoints.filter_map(|endpoint| endpoint.interface.as_ref());
    interfaces
        .flat_map(|interface| interface.addresses())
        .filter(|address| address.is_ipv4() || has_ipv6(container))
        .map(|address| format!("{address}\t{names}\n"))
        .collect()
}

/// The full name, and if it has several parts, its first part.
fn own_names(hostname: &str, domainname: &str) -> String {
    let mut full = hostname.to_owned();
    if !domainname.is_empty() {
        full = format!("{full}.{domainname}");
    }
    match full.split_once('.') {
        Some((first, _)) => format!("{full} {first}"),
        None => full,
    }
}

/// Whether the container's loopback has an IPv6 address, as far as can be said before it starts.
fn has_ipv6(container: &Container) -> bool {
    if container.host.network_mode == NetworkMode::Host {
        return std::net::TcpListener::bind("[::1]:0").is_ok();
    }
    let is_off = |interface: &str| {
        let key = format!("net.ipv6.conf.{interface}.disable_ipv6");
        container.host.sysctls.get(&key).is_some_and(|value| value.trim() == "1")
    };
    Path::new("/proc/sys/net/ipv6").exists() && !is_off("all") && !is_off("lo")
}

/// An IPv6 address may stand in brackets.
fn bare(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

fn extra_lines(host: &HostConfig, gateway: &[IpAddr]) -> Result<Vec<(IpAddr, String)>> {
    let mut lines = Vec::new();
    for extra in &host.extra_hosts {
        let (name, address) = extra.split_once([':', '=']).unwrap_or((extra, ""));
        if address == HOST_GATEWAY {
            if gateway.is_empty() {
                return Err(Error::invalid("unable to derive the IP value for host-gateway"));
            }
            lines.extend(gateway.iter().map(|address| (*address, name.to_owned())));
        } else if let Ok(address) = bare(address).parse::<IpAddr>() {
            lines.push((address.to_canonical(), name.to_owned()));
        }
    }
    Ok(lines)
}

/// The text with what is no longer so taken out, and what is new at its end.
pub(super) fn replaced(text: &[u8], old: &[String], new: &[String]) -> Vec<u8> {
    let is_gone = |line: &[u8]| {
        let is = |own: &String| own.as_bytes() == line;
        old.iter().any(is) && !new.iter().any(is)
    };
    let kept = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_gone(line));
    let mut text = kept.collect::<Vec<_>>().concat();
    for line in new.iter().filter(|line| !old.contains(line)) {
        if !text.ends_with(b"\n") && !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(line.as_bytes());
    }
    text
}

/// The text with another address in the lines whose first name is `alias`, if it is one of the
/// same kind.
pub(super) fn moved(text: &[u8], alias: &str, to: IpAddr) -> Vec<u8> {
    let is_kind = |from: &[u8]| {
        let from = std::str::from_utf8(from).ok().and_then(|from| from.parse::<IpAddr>().ok());
        from.is_some_and(|from| from.is_ipv4() == to.is_ipv4())
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap_or(line.len());
        let (from, names) = line.split_at(tab);
        let rest = names.get(1..).and_then(|names| names.strip_prefix(alias.as_bytes()));
        let is_first = rest.and_then(<[u8]>::first).is_some_and(|next| b" \t\n.".contains(next));
        match is_first && is_kind(from) {
            true => [to.to_string().as_bytes(), names].concat(),
            false => line.to_vec(),
        }
    });
    lines.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;

    #[test]
    fn a_name_of_several_parts_is_told_with_its_first() {
        assert_eq!(own_names("box", ""), "box");
        assert_eq!(own_names("box", "example.org"), "box.example.org box");
        assert_eq!(own_names("a.b.c", ""), "a.b.c a");
        assert_eq!(own_names("a.b.c", "example.org"), "a.b.c.example.org a");
    }

    #[test]
    fn hosts_have_what_their_user_adds() {
        let gateway: Vec<IpAddr> = vec!["172.17.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let mut container = fixture::container();
        container.host.extra_hosts =
            vec!["db:10.0.0.9".into(), "up:host-gateway".into(), "six=[::2]".into()];
        let text = of(&container, None, &[], &gateway).unwrap();
        let added = "10.0.0.9\tdb\n172.17.0.1\tup\nfd00::1\tup\n::2\tsix\n";
        assert!(text.ends_with(&format!("ip6-allrouters\n{added}")), "{text}");
        assert!(of(&container, None, &[], &[]).is_err());
        container.host.sysctls =
            [("net.ipv6.conf.all.disable_ipv6".to_owned(), "1".to_owned())].into();
        let text = of(&container, None, &[], &gateway).unwrap();
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.0.0.9\tdb\n172.17.0.1\tup\n");
    }

    #[test]
    fn what_the_user_has_written_stays() {
        let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let (old, new) =
            (lines(&["10.0.0.2\tbox\n"]), lines(&["10.0.0.2\tbox\n", "10.1.0.2\tbox\n"]));
        let text = b"10.0.0.2\tbox\n\xff mine";
        assert_eq!(replaced(text, &old, &new), b"10.0.0.2\tbox\n\xff mine\n10.1.0.2\tbox\n");
        assert_eq!(replaced(text, &old, &[]), b"\xff mine");
        assert_eq!(replaced(b"10.0.0.2  box\n", &old, &[]), b"10.0.0.2  box\n");
    }

    #[test]
    fn who_has_moved_is_told_of_at_its_new_place() {
        let text = b"10.0.0.2\tdb box\nfd00::2\tdb box\n10.0.0.2\tdbx\n10.0.0.9\tdb.local\n1\tdb";
        let moved_there = moved(text, "db", "10.0.0.7".parse().unwrap());
        let after = b"10.0.0.7\tdb box\nfd00::2\tdb box\n10.0.0.2\tdbx\n10.0.0.7\tdb.local\n1\tdb";
        assert_eq!(moved_there, after);
    }
}

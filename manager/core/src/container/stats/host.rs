//! What the host itself tells: of all its processors, and of a process's network interfaces.

use std::collections::BTreeMap;
use std::fs;

use super::sample::{Processors, Traffic};
use crate::error::{Error, Result};

/// Nanoseconds of one of the ticks in which the kernel tells times to user space (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// Interfaces that every network namespace has, be it only because the kernel's tunnels are there.
const EVERYWHERE: [&str; 10] = [
    "lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0", "ip_vti0",
    "ip6_vti0",
];

/// What the host's processors did.
pub(super) fn processors() -> Result<Processors> {
    let text = fs::read_to_string("/proc/stat");
    parse_stat(&text.map_err(|error| Error::io("read /proc/stat", error))?)
}

fn parse_stat(text: &str) -> Result<Processors> {
    let mut processors = Processors::default();
    for line in text.lines().map_while(|line| line.strip_prefix("cpu")) {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            processors.online += 1;
            continue;
        }
        // User, nice, system, idle, waiting and interrupts; what guests used is in there already.
        let ticks = line.split_ascii_whitespace().take(7).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>().map_err(|error| {
            Error::system(format!("read /proc/stat: {error} in {:?}", line.trim()))
        })?;
        processors.time = ticks.saturating_mul(TICK);
    }
    Ok(processors)
}

/// What went over the interfaces of the namespace that `pid` is in. There are none to tell of if it
/// is the host's own, or if the process has just ended.
pub(super) fn traffic(pid: u32) -> BTreeMap<String, Traffic> {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net"));
    let pid = pid.to_string();
    match (namespace(&pid), namespace("self")) {
        (Ok(its), Ok(own)) if its != own => {}
        _ => return BTreeMap::new(),
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    parse_devices(&text)
}

fn parse_devices(text: &str) -> BTreeMap<String, Traffic> {
    let device = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let name = name.trim();
        let figures: Vec<u64> =
            figures.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, sent @ ..] = &figures[..]
        else {
            return None;
        };
        let [tx_bytes, tx_packets, tx_errors, tx_dropped, ..] = sent else { return None };
        let traffic = Traffic {
            rx_bytes: *rx_bytes,
            rx_packets: *rx_packets,
            rx_errors: *rx_errors,
            rx_dropped: *rx_dropped,
            tx_bytes: *tx_bytes,
            tx_packets: *tx_packets,
            tx_errors: *tx_errors,
            tx_dropped: *tx_dropped,
        };
        (!EVERYWHERE.contains(&name)).then(|| (name.to_owned(), traffic))
    };
    text.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_columns_make_the_time_of_all_processors() {
        let text =
            "cpu  1 2 3 4 5 6 7 100 100 100\ncpu0 1 2 3 4 5 6 7 0 0 0\ncpu1 0\nintr 5\ncpu2 1\n";
        assert_eq!(parse_stat(text).unwrap(), Processors { time: 28 * TICK, online: 2 });
        assert!(parse_stat("cpu  1 x 3\n").is_err());
        assert!(processors().unwrap().online > 0);
    }

    #[test]
    fn an_interface_is_a_line() {
        let text = "Inter-|   Receive        |  Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 1168 14 1 2 0 0 0 0 126 3 4 5 0 0 0 0\n eth1:9 8 0 0 0 0 0 0 7 6 0 0 0 0 0 0\n";
        let devices = parse_devices(text);
        assert_eq!(devices.keys().collect::<Vec<_>>(), ["eth0", "eth1"]);
        let expected = Traffic {
            rx_bytes: 1168,
            rx_packets: 14,
            rx_errors: 1,
            rx_dropped: 2,
            tx_bytes: 126,
            tx_packets: 3,
            tx_errors: 4,
            tx_dropped: 5,
        };
        assert_eq!(devices["eth0"], expected);
        assert_eq!(devices["eth1"].tx_packets, 6);
    }

    #[test]
    fn the_hosts_own_interfaces_are_no_containers() {
        assert!(traffic(std::process::id()).is_empty());
        assert!(traffic(u32::MAX).is_empty());
    }
}

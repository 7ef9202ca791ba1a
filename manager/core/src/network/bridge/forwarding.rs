//! For whom the host passes packets on.
//!
//! Containers need the kernel to forward packets, and that is one switch for all of the host's
//! interfaces. Turned on, it makes the host a router between its other networks too, for whoever
//! sends it packets. So when it is this manager that turns it on, the packet filter drops what is
//! forwarded neither from nor to containers. When it was on before, its owner wants a router (or
//! has seen to it), and others' packets are left alone. Who wants the host to route while `tared`
//! is there turns the switch on at boot (`net.ipv4.ip_forward=1` in /etc/sysctl.d).

use std::path::Path;

use crate::error::{Error, Result};
use crate::network::firewall::Forwarding;
use crate::network::kernel::sysctl;

const SWITCH: &str = "ipv4/ip_forward";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// For whom the host shall forward: all, if it does already and wasn't made to by us. That it was
/// is noted in the file `note` before it is done, with the boot for which it holds.
pub(in crate::network) fn plan(note: &Path) -> Result<Forwarding> {
    let boot = std::fs::read_to_string(BOOT_ID)
        .map_err(|error| Error::io(format!("read {BOOT_ID}"), error))?;
    if sysctl::get(SWITCH)? == "0" {
        std::fs::write(note, &boot)
            .map_err(|error| Error::io(format!("write {}", note.display()), error))?;
        tracing::info!(
            "turning on IPv4 forwarding, for packets from and to containers alone; for the host to \
             forward others' too, turn on net.ipv4.ip_forward at boot"
        );
        return Ok(Forwarding::ForContainers);
    }
    match std::fs::read_to_string(note) {
        Ok(noted) if noted == boot => Ok(Forwarding::ForContainers),
        _ => Ok(Forwarding::ForAll),
    }
}

/// Makes the host forward.
pub(in crate::network) fn turn_on() -> Result<()> {
    sysctl::set(SWITCH, "1")
}

//! For whom the host passes packets on.
//!
//! Containers need the kernel to forward packets, and that is one switch for all of the host's
//! interfaces, for each kind of addresses. Turned on, it makes the host a router between its other
//! networks too, for whoever sends it packets. So when it is this manager that turns it on, the
//! packet filter drops what is forwarded neither from nor to containers. When it was on before, its
//! owner wants a router (or has seen to it), and others' packets are left alone. Who wants the host
//! to route while `tared` is there turns the switch on at boot (`net.ipv4.ip_forward=1` in
//! /etc/sysctl.d), or sets `ip-forward-no-drop`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::network::family::{ByFamily, Family};
use crate::network::firewall::Forwarding;
use crate::network::kernel::sysctl;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const IPV6: &str = "ipv6/conf";

fn switch(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4/ip_forward",
        Family::V6 => "ipv6/conf/all/forwarding",
    }
}

/// For whom the host shall forward: all, if it does already and wasn't made to by us, which the file
/// `note` says.
pub(in crate::network) fn plan(note: &Path) -> Result<ByFamily<Forwarding>> {
    Ok(ByFamily { ipv4: plan_for(Family::V4, note)?, ipv6: plan_for(Family::V6, note)? })
}

fn plan_for(family: Family, note: &Path) -> Result<Forwarding> {
    // A kernel without IPv6 has no such switch.
    if !sysctl::get(switch(family)).is_ok_and(|value| value != "0") {
        return Ok(Forwarding::ForContainers);
    }
    match noted(note, &boot()?).contains(family.name()) {
        true => Ok(Forwarding::ForContainers),
        false => Ok(Forwarding::ForAll),
    }
}

/// Makes the host forward, if it doesn't. That it is this manager that did is noted before it is
/// done, with the boot for which it holds.
pub(in crate::network) fn turn_on(family: Family, note: &Path) -> Result<()> {
    if sysctl::get(switch(family))? != "0" {
        return Ok(());
    }
    let boot = boot()?;
    let kinds = noted(note, &boot);
    std::fs::write(note, format!("{boot}{kinds}{}\n", family.name()))
        .map_err(|error| Error::io(format!("write {}", note.display()), error))?;
    tracing::info!(
        "turning on {} forwarding, for packets from and to containers alone; for the host to \
         forward others' too, turn it on at boot",
        family.name()
    );
    if family == Family::V6 {
        go_on_listening_to_routers()?;
    }
    sysctl::set(switch(family), "1")
}

/// An interface that learns its address and routes from a router would stop to do so when the
/// kernel begins to forward, and lose those that it has, unless it is told to go on.
fn go_on_listening_to_routers() -> Result<()> {
    let interfaces = std::fs::read_dir(format!("/proc/sys/net/{IPV6}"))
        .map_err(|error| Error::io("list the interfaces that have IPv6", error))?;
    for interface in interfaces.flatten() {
        let name = interface.file_name();
        let setting = format!("{IPV6}/{}/accept_ra", name.to_string_lossy());
        let is_one = !["all", "default", "lo"].iter().any(|other| name == *other);
        // It may be gone in the meantime.
        if is_one && sysctl::get(&setting).is_ok_and(|value| value == "1") {
            sysctl::set_if_present(&setting, "2")?;
        }
    }
    Ok(())
}

/// The kinds of addresses for which it was us, each on a line; those of an earlier boot don't count.
fn noted(note: &Path, boot: &str) -> String {
    let noted = std::fs::read_to_string(note).unwrap_or_default();
    noted.strip_prefix(boot).unwrap_or_default().to_owned()
}

fn boot() -> Result<String> {
    std::fs::read_to_string(BOOT_ID).map_err(|error| Error::io(format!("read {BOOT_ID}"), error))
}

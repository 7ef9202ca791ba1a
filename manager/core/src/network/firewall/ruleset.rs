//! The text of the table, as `nft -f` reads it.

use std::fmt::Write;

use super::{BRIDGES, Firewall, Forwarding, Published};

/// The map from an address, protocol and port of the host to a container's address and port.
pub(super) const BY_ADDRESS: &str = "published";
/// The map from a protocol and port to the same, for ports on every address of the host.
pub(super) const EVERYWHERE: &str = "published_everywhere";

/// The table with these ports in its maps. That it is deleted first makes the whole text one
/// replacement: packets meet the old table or the new one, never none and never both.
pub(super) fn render<'a>(
    firewall: &Firewall,
    published: impl Iterator<Item = &'a Published>,
) -> String {
    let table = firewall.table();
    let bridge = &firewall.bridge;
    let subnet = firewall.subnet;
    let others = match firewall.forwarding {
        Forwarding::ForAll => String::new(),
        // The host is no router but for containers, be they ours or another manager's.
        Forwarding::ForContainers => {
            format!("iifname != \"{bridge}\" iifgroup != {BRIDGES} oifgroup != {BRIDGES} drop")
        }
    };
    let mut text = format!(
        r#"table ip {table}
delete table ip {table}
table ip {table} {{
  map {BY_ADDRESS} {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  map {EVERYWHERE} {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}

  # Containers neither reach the host's loopback nor pretend to be there, and nobody outside reaches
  # a container but by a published port, whatever routes there are.
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
    iifname "{bridge}" ip saddr 127.0.0.0/8 drop
    iifname != {{ "lo", "{bridge}" }} ip daddr {subnet} fib daddr type != local drop
  }}

  # Published ports, for packets that arrive. What is published on loopback is for the host alone.
  chain arriving {{
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr 127.0.0.0/8 return
    dnat ip to ip daddr . meta l4proto . th dport map @{BY_ADDRESS}
    fib daddr type local dnat ip to meta l4proto . th dport map @{EVERYWHERE}
  }}

  # Published ports, for packets of the host itself.
  chain local {{
    type nat hook output priority -100; policy accept;
    dnat ip to ip daddr . meta l4proto . th dport map @{BY_ADDRESS}
    fib daddr type local dnat ip to meta l4proto . th dport map @{EVERYWHERE}
  }}

  # Answers must come back through the host: from a container that was sent to from loopback, from
  # a container that another one (or itself) reached by a published port, and from the world.
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade
    oifname "{bridge}" ip saddr {subnet} ct status dnat masquerade
    oifname != {{ "lo", "{bridge}" }} ip saddr {subnet} masquerade
  }}

  # To a container go: its neighbours, answers, and what came by a published port.
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname "{bridge}" iifname "{bridge}" accept
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" drop
    {others}
  }}
}}
"#
    );
    for published in published {
        render_element(&mut text, &table, published);
    }
    text
}

fn render_element(text: &mut String, table: &str, published: &Published) {
    let Published { container, port, address } = published;
    let (map, key) = match port.host_ip.is_unspecified() {
        true => (EVERYWHERE, String::new()),
        false => (BY_ADDRESS, format!("{} . ", port.host_ip)),
    };
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "add element ip {table} {map} {{ {key}{} . {} comment \"{container}\" : {address} . {} }}",
        port.protocol, port.host_port, port.container_port
    );
}

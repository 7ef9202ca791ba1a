//! The text of the table, as `nft -f` reads it.

use std::fmt::Write;

use super::{BRIDGES, Content, Firewall, Forwarding, Published};

/// The map from an address, protocol and port of the host to a container's address and port.
pub(super) const BY_ADDRESS: &str = "published";
/// The map from a protocol and port to the same, for ports on every address of the host.
pub(super) const EVERYWHERE: &str = "published_everywhere";

/// Our bridges.
pub(super) const BRIDGES_SET: &str = "bridges";
/// Pairs of a bridge and itself: who comes from the one and goes to the other are neighbours that
/// reach each other.
pub(super) const NEIGHBOURS: &str = "neighbours";
/// The bridges that nothing leaves or enters.
pub(super) const SEALED: &str = "sealed";
/// The addresses of all networks.
pub(super) const SUBNETS: &str = "subnets";
/// The addresses of those whose containers are seen under the host's address outside.
pub(super) const HIDDEN: &str = "hidden";

/// The table with this content in its sets and maps. That it is deleted first makes the whole text
/// one replacement: packets meet the old table or the new one, never none and never both.
pub(super) fn render(firewall: &Firewall, content: &Content) -> String {
    let table = firewall.table();
    let others = match firewall.forwarding {
        Forwarding::ForAll => String::new(),
        // The host is no router but for containers, be they ours or another manager's.
        Forwarding::ForContainers => {
            format!("iifname != @{BRIDGES_SET} iifgroup != {BRIDGES} oifgroup != {BRIDGES} drop")
        }
    };
    let mut text = format!(
        r#"table ip {table}
delete table ip {table}
table ip {table} {{
  map {BY_ADDRESS} {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  map {EVERYWHERE} {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  set {BRIDGES_SET} {{ type ifname; }}
  set {NEIGHBOURS} {{ type ifname . ifname; }}
  set {SEALED} {{ type ifname; }}
  set {SUBNETS} {{ type ipv4_addr; flags interval; }}
  set {HIDDEN} {{ type ipv4_addr; flags interval; }}

  # Containers neither reach the host's loopback nor pretend to be there, and nobody outside a
  # network reaches its containers but by a published port, whatever routes there are.
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname @{BRIDGES_SET} ip daddr 127.0.0.0/8 drop
    iifname @{BRIDGES_SET} ip saddr 127.0.0.0/8 drop
    ip daddr @{SUBNETS} iifname != "lo" fib daddr . iif oif missing fib daddr type != local drop
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
    oifname @{BRIDGES_SET} ip saddr 127.0.0.0/8 masquerade
    oifname @{BRIDGES_SET} ip saddr @{SUBNETS} ct status dnat masquerade
    oifname != "lo" oifname != @{BRIDGES_SET} ip saddr @{HIDDEN} masquerade
  }}

  # To a container go: its neighbours, answers, and what came by a published port.
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname . oifname @{NEIGHBOURS} accept
    iifname @{SEALED} drop
    oifname @{SEALED} drop
    oifname @{BRIDGES_SET} ct state established,related accept
    oifname @{BRIDGES_SET} ct status dnat accept
    oifname @{BRIDGES_SET} drop
    {others}
  }}
}}
"#
    );
    for zone in content.zones.values() {
        text.push_str(&zone.added_to(&table));
    }
    for published in content.published.values().flatten() {
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

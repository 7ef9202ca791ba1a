//! The text of the table, as `nft -f` reads it.

use std::fmt::Write;

use super::{BRIDGES, Content, Firewall, Forwarding};
use crate::network::family::Family;

/// The map from an address, protocol and port of the host to a container's address and port.
pub(super) const BY_ADDRESS: &str = "published";
/// The map from a protocol and port to the same, for ports on every address of the host.
pub(super) const EVERYWHERE: &str = "published_everywhere";
/// Addresses of containers with the protocols and ports that are reached there by who has a route.
pub(super) const DIRECT: &str = "direct";

/// Our bridges.
pub(super) const BRIDGES_SET: &str = "bridges";
/// Pairs of a bridge and itself: who comes from the one and goes to the other are neighbours that
/// reach each other.
pub(super) const NEIGHBOURS: &str = "neighbours";
/// The bridges that nothing leaves or enters.
pub(super) const SEALED: &str = "sealed";
/// The map from our bridges to where it is said who enters.
pub(super) const DOORS: &str = "doors";

/// The addresses of all networks.
pub(super) const SUBNETS: &str = "subnets";
/// The addresses of those whose containers nobody outside reaches by routes, without the host's own.
pub(super) const PROTECTED: &str = "protected";
/// The same with interfaces of the host from which they are reached all the same.
pub(super) const TRUSTED: &str = "trusted";
/// The addresses of those whose containers are reached by routes, with all of their ports.
pub(super) const OPEN: &str = "open";
/// The addresses of those whose containers are reached by routes, with what they publish.
pub(super) const ROUTED: &str = "routed";
/// The addresses of those whose containers are seen under the host's address outside.
pub(super) const HIDDEN: &str = "hidden";
/// The map from such addresses to the one under which they are seen, if it is a certain one.
pub(super) const SEEN_AS: &str = "seen_as";

/// The name of a set that there is for each kind of addresses.
pub(super) fn name_for(set: &str, family: Family) -> String {
    match family {
        Family::V4 => set.to_owned(),
        Family::V6 => format!("{set}6"),
    }
}

/// The table with this content in its sets and maps. That it is deleted first makes the whole text
/// one replacement: packets meet the old table or the new one, never none and never both.
pub(super) fn render(firewall: &Firewall, content: &Content) -> String {
    let table = firewall.table();
    let rules = Family::BOTH.map(Rules::of);
    let all =
        |rule: fn(&Rules) -> &String| rules.each_ref().map(|rules| rule(rules).as_str()).concat();
    let (sets, [guard, guard6]) = (all(|rules| &rules.sets), rules.each_ref().map(|r| &r.guard));
    let (arriving, local) = (all(|rules| &rules.arriving), all(|rules| &rules.local));
    let (leaving, enter) = (all(|rules| &rules.leaving), all(|rules| &rules.enter));
    let others: String = Family::BOTH
        .into_iter()
        .filter(|family| *firewall.forwarding.get(*family) == Forwarding::ForContainers)
        .map(drop_others)
        .collect();
    let mut text = format!(
        r#"table inet {table}
delete table inet {table}
table inet {table} {{
  set {BRIDGES_SET} {{ type ifname; }}
  set {NEIGHBOURS} {{ type ifname . ifname; }}
  set {SEALED} {{ type ifname; }}
  map {DOORS} {{ type ifname : verdict; }}
{sets}
  # Containers neither reach the host's loopback nor pretend to be there, and nobody outside a
  # network reaches its containers but by a published port, whatever routes there are. All that
  # arrives passes here, packet by packet: what is cheap to ask comes first.
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    meta nfproto ipv6 goto guard6
{guard}  }}

  chain guard6 {{
{guard6}  }}

  # Published ports, for packets that arrive. What is published on loopback is for the host alone.
  chain arriving {{
    type nat hook prerouting priority dstnat; policy accept;
{arriving}  }}

  # Published ports, for packets of the host itself.
  chain local {{
    type nat hook output priority -100; policy accept;
{local}  }}

  # Answers must come back through the host: from a container that was sent to from loopback, from
  # a container that another one (or itself) reached by a published port, from the world, and from
  # containers of other networks that are reached by routes.
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
{leaving}  }}

  # The host forwards between containers and others, and for others if it did before.
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname vmap @{DOORS}
    iifname @{SEALED} drop
{others}  }}

  # To a container go: answers, its neighbours, what came by a published port, and by routes to
  # networks that are open to them.
  chain enter {{
    iifname @{SEALED} drop
    ct state established,related accept
    iifname . oifname @{NEIGHBOURS} accept
    ct status dnat accept
{enter}    drop
  }}

  # And to one that nothing else reaches: its neighbours.
  chain enter_sealed {{
    iifname . oifname @{NEIGHBOURS} accept
    drop
  }}
}}
"#
    );
    for zone in content.zones.values() {
        text.push_str(&zone.added_to(&table));
    }
    for element in content.published.values().flatten().flat_map(super::Published::elements) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}", element.text(&table));
    }
    text
}

/// The host is no router but for containers, be they ours or another manager's.
fn drop_others(family: Family) -> String {
    let kind = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!(
        "    meta nfproto {kind} iifname != @{BRIDGES_SET} iifgroup != {BRIDGES} oifgroup != {BRIDGES} \
         drop\n"
    )
}

/// What a table has once for each kind of addresses.
struct Rules {
    sets: String,
    guard: String,
    arriving: String,
    local: String,
    leaving: String,
    enter: String,
}

impl Rules {
    fn of(family: Family) -> Self {
        let (ip, kind, loopback, ping) = match family {
            Family::V4 => ("ip", "ipv4_addr", "127.0.0.0/8", "icmp"),
            Family::V6 => ("ip6", "ipv6_addr", "::1", "ipv6-icmp"),
        };
        // What IPv6 sends from loopback never leaves the host, whatever becomes of where it goes.
        let from_loopback = match family {
            Family::V4 => String::new(),
            Family::V6 => format!("    {ip} daddr {loopback} return\n"),
        };
        let [
            by_address,
            everywhere,
            direct,
            subnets,
            protected,
            trusted,
            open,
            routed,
            hidden,
            seen_as,
        ] = [
            BY_ADDRESS, EVERYWHERE, DIRECT, SUBNETS, PROTECTED, TRUSTED, OPEN, ROUTED, HIDDEN,
            SEEN_AS,
        ]
        .map(|set| name_for(set, family));
        let published = format!(
            "    dnat {ip} to {ip} daddr . meta l4proto . th dport map @{by_address}\n    \
             fib daddr type local dnat {ip} to meta l4proto . th dport map @{everywhere}\n"
        );
        Self {
            sets: format!(
                "  map {by_address} {{ type {kind} . inet_proto . inet_service : {kind} . inet_service; }}
  map {everywhere} {{ type inet_proto . inet_service : {kind} . inet_service; }}
  set {direct} {{ type {kind} . inet_proto . inet_service; }}
  set {subnets} {{ type {kind}; flags interval; }}
  set {protected} {{ type {kind}; flags interval; }}
  set {trusted} {{ type {kind} . ifname; flags interval; }}
  set {open} {{ type {kind}; flags interval; }}
  set {routed} {{ type {kind}; flags interval; }}
  set {hidden} {{ type {kind}; flags interval; }}
  map {seen_as} {{ type {kind} : {kind}; flags interval; }}
"
            ),
            guard: format!(
                "    {ip} daddr {loopback} iifname @{BRIDGES_SET} drop
    {ip} saddr {loopback} iifname @{BRIDGES_SET} drop
    {ip} daddr @{protected} iif != lo fib daddr . iif oif missing fib daddr type != local {ip} daddr . iifname != @{trusted} drop
"
            ),
            arriving: format!("    {ip} daddr {loopback} return\n{published}"),
            leaving: format!(
                "    oifname @{BRIDGES_SET} {ip} saddr {loopback} masquerade
    oifname @{BRIDGES_SET} {ip} saddr @{subnets} ct status dnat masquerade
    oifname != \"lo\" oifname != @{BRIDGES_SET} snat {ip} to {ip} saddr map @{seen_as}
    oifname != \"lo\" oifname != @{BRIDGES_SET} {ip} saddr @{hidden} masquerade
    oifname @{BRIDGES_SET} {ip} daddr @{routed} {ip} saddr @{hidden} fib saddr type != local masquerade
    oifname @{BRIDGES_SET} {ip} daddr @{open} {ip} saddr @{hidden} {ip} saddr != @{open} fib saddr type != local masquerade
"
            ),
            enter: format!(
                "    {ip} daddr @{open} accept
    {ip} daddr @{routed} meta l4proto {ping} accept
    {ip} daddr . meta l4proto . th dport @{direct} accept
"
            ),
            local: format!("{from_loopback}{published}"),
        }
    }
}

//! Containers on an interface of the host: as hosts of their own on its wire.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use netlink_packet_route::link::InfoKind;

use super::host::{
    Host, call, inside, is_out_of_reach, on_a_host, output, request, run, serve, tcp, wish,
};
use crate::error::{Kind, Result};
use crate::network::kernel::netlink::Netlink;
use crate::network::{Connect, Ipam, Networks, NewNetwork, Pool, Sandbox, Wish};

fn options(words: &[(&str, &str)]) -> BTreeMap<String, String> {
    words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A network of this driver with these options; its only subnet has the gateway, if one is named.
pub(super) fn new(
    name: &str,
    driver: &str,
    words: &[(&str, &str)],
    subnets: &[(&str, Option<&str>)],
) -> NewNetwork {
    let pool = |(subnet, gateway): &(&str, Option<&str>)| Pool {
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        ..Pool::of(subnet.parse().unwrap())
    };
    NewNetwork {
        name: name.to_owned(),
        driver: driver.to_owned(),
        options: options(words),
        ipam: Ipam { pools: subnets.iter().map(pool).collect(), ..Ipam::default() },
        ..NewNetwork::default()
    }
}

pub(super) fn connect(
    host: &Host,
    networks: &Arc<Networks>,
    container: &str,
    network: &str,
) -> Result<Sandbox> {
    let wishes = vec![wish(container, network)];
    let ports = vec![tcp("", 8080, 80)];
    let connected = host.wait(networks.connect(Connect { wishes, ports, ..request(container) }))?;
    Ok(connected.sandbox)
}

pub(super) fn address(sandbox: &Sandbox) -> String {
    sandbox.endpoints[0].interface.as_ref().unwrap().addresses().next().unwrap().to_string()
}

pub(super) fn reaches(from: &Sandbox, place: &str) -> bool {
    inside(from.netns.as_ref().unwrap(), || !is_out_of_reach(place))
}

/// Whether the kernel has interfaces of this kind. Where it has none, a network that needs them must
/// have been refused with the kernel's setting that makes them.
pub(super) fn has_or_says_so(kind: InfoKind, setting: &str, made: Result<String>) -> bool {
    let has = Netlink::open(libc::NETLINK_ROUTE).unwrap().has_kind(kind).unwrap();
    match made {
        Ok(_) => assert!(has),
        Err(error) => {
            assert!(!has && error.kind() == Kind::Unsupported, "{error}");
            assert!(error.to_string().contains(setting), "{error}");
        }
    }
    has
}

#[test]
fn macvlan_containers_are_hosts_on_the_wire() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let cable = || output("ip -d -o link show cable9") + &output("ip address show cable9");
        let before = cable();
        let wire = [("10.9.0.0/24", Some("10.9.0.2"))];
        let mut lan = new("lan", "macvlan", &[("parent", "cable9")], &wire);
        lan.ipam.pools[0].auxiliary.insert("host".to_owned(), "10.9.0.1".parse().unwrap());
        host.wait(networks.create(lan)).unwrap();
        let web = connect(&host, &networks, "web", "lan").unwrap();
        let mac = Some("02:00:00:00:00:77".parse().unwrap());
        let chosen = Wish { ipv4: Some([10, 9, 0, 77].into()), mac, ..wish("other", "lan") };
        let other = Connect { wishes: vec![chosen], ..request("other") };
        let other = host.wait(networks.connect(other)).unwrap().sandbox;
        assert_eq!((address(&web).as_str(), address(&other).as_str()), ("10.9.0.3", "10.9.0.77"));
        assert!(web.ports.is_empty(), "nothing leads to it by the host");
        serve(web.netns.as_ref().unwrap(), 80, "web");
        serve(&neighbour, 80, "neighbour");

        assert_eq!(inside(&neighbour, || call("10.9.0.3:80")).unwrap(), "web 10.9.0.2");
        inside(other.netns.as_ref().unwrap(), || {
            assert_eq!(call("10.9.0.3:80").unwrap(), "web 10.9.0.77");
            assert_eq!(call("10.9.0.2:80").unwrap(), "neighbour 10.9.0.77");
            assert!(output("ip route").contains("default via 10.9.0.2 dev eth0"));
            assert!(output("ip link show eth0").contains("02:00:00:00:00:77"));
        });
        assert!(is_out_of_reach("10.9.0.3:80"), "the host and its macvlans don't see each other");
        let refused = host.wait(networks.remove("lan")).unwrap_err();
        assert_eq!(refused.kind(), Kind::Forbidden);

        drop(networks);
        let networks = host.open().unwrap();
        assert_eq!(*networks.sandbox("web").unwrap(), web);
        assert_eq!(inside(&neighbour, || call("10.9.0.3:80")).unwrap(), "web 10.9.0.2");
        let third = connect(&host, &networks, "third", "lan").unwrap();
        assert_eq!(address(&third), "10.9.0.4");
        for container in ["web", "other", "third"] {
            host.disconnect(&networks, container);
        }
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        host.wait(networks.remove("lan")).unwrap();
        assert_eq!(cable(), before);
    });
}

#[test]
fn modes_say_who_reaches_whom() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        for (mode, each_other) in [("bridge", true), ("private", false), ("vepa", false)] {
            let network = format!("mode-{mode}");
            let words = [("parent", "cable9"), ("macvlan_mode", mode)];
            let wire = [("10.9.0.0/24", Some("10.9.0.1"))];
            host.wait(networks.create(new(&network, "macvlan", &words, &wire))).unwrap();
            // The neighbour has the address that the first one would get.
            let spare = connect(&host, &networks, "spare", &network).unwrap();
            let web = connect(&host, &networks, "web", &network).unwrap();
            let other = connect(&host, &networks, "other", &network).unwrap();
            host.disconnect(&networks, "spare");
            drop(spare);
            serve(web.netns.as_ref().unwrap(), 80, "web");
            assert_eq!(reaches(&other, "10.9.0.3:80"), each_other, "{mode}");
            assert_eq!(inside(&neighbour, || call("10.9.0.3:80")).unwrap(), "web 10.9.0.2");
            host.disconnect(&networks, "web");
            host.disconnect(&networks, "other");
            host.wait(networks.remove(&network)).unwrap();
        }

        let words = [("parent", "cable9"), ("macvlan_mode", "passthru")];
        let wire = [("10.9.0.0/24", Some("10.9.0.2"))];
        host.wait(networks.create(new("alone", "macvlan", &words, &wire))).unwrap();
        let beside = new("beside", "macvlan", &[("parent", "cable9")], &[("10.7.0.0/24", None)]);
        let error = host.wait(networks.create(beside)).unwrap_err().to_string();
        assert!(
            error.ends_with("is already using parent interface cable9 in mode passthru"),
            "{error}"
        );
        let web = connect(&host, &networks, "web", "alone").unwrap();
        let mac = web.endpoints[0].interface.as_ref().unwrap().mac.to_string();
        assert!(output("ip link show cable9").contains(&mac), "it is its parent's");
        let error = connect(&host, &networks, "other", "alone").unwrap_err().to_string();
        assert!(error.contains("failed to create the macvlan port on cable9"), "{error}");
        host.disconnect(&networks, "web");
        // At once: the parent is free again.
        connect(&host, &networks, "other", "alone").unwrap();
    });
}

#[test]
fn without_a_parent_containers_reach_only_each_other() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let id = host
            .wait(networks.create(new("cut-off", "macvlan", &[], &[("10.6.0.0/24", None)])))
            .unwrap();
        let parent = format!("dm-{}", &id[..12]);
        assert!(output("ip -o link").contains(&parent));
        let web = connect(&host, &networks, "web", "cut-off").unwrap();
        let other = connect(&host, &networks, "other", "cut-off").unwrap();
        serve(web.netns.as_ref().unwrap(), 80, "web");
        let place = format!("{}:80", address(&web));
        assert!(reaches(&other, &place));
        inside(other.netns.as_ref().unwrap(), || assert!(!output("ip route").contains("default")));
        assert!(is_out_of_reach(&place));

        // Somebody deletes it: containers lose it, and their next start brings it back.
        run(&format!("ip link delete {parent}"));
        assert!(!reaches(&other, &place));
        for container in ["web", "other"] {
            host.disconnect(&networks, container);
        }
        let web = connect(&host, &networks, "web", "cut-off").unwrap();
        let other = connect(&host, &networks, "other", "cut-off").unwrap();
        serve(web.netns.as_ref().unwrap(), 80, "web");
        assert!(reaches(&other, &format!("{}:80", address(&web))));
        host.wait(networks.leave("other", &id)).unwrap();
        inside(other.netns.as_ref().unwrap(), || assert!(!output("ip -o link").contains("eth0")));
        for container in ["web", "other"] {
            host.disconnect(&networks, container);
        }
        host.wait(networks.remove("cut-off")).unwrap();
        assert!(!output("ip -o link").contains("dm-"));
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());

        // What a manager has made that was killed before it wrote that down is swept.
        let id = host.wait(networks.create(new("lost", "macvlan", &[], &[]))).unwrap();
        drop(networks);
        host.forget_network(&id);
        let networks = host.open().unwrap();
        host.wait(networks.retain(&HashSet::new())).unwrap();
        assert!(!output("ip -o link").contains("dm-"));
    });
}

#[test]
fn several_subnets_are_used_one_after_the_other() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let _neighbour = host.neighbour();
        let wires = [("10.57.0.0/29", Some("10.57.0.3")), ("10.58.0.0/24", None)];
        let mut two = new("two", "macvlan", &[("parent", "cable9")], &wires);
        two.ipam.pools[0].auxiliary.insert("a".to_owned(), "10.57.0.4".parse().unwrap());
        host.wait(networks.create(two.clone())).unwrap();
        let given: Vec<_> = (0..5)
            .map(|number| {
                address(&connect(&host, &networks, &format!("c{number}"), "two").unwrap())
            })
            .collect();
        assert_eq!(given, ["10.57.0.1", "10.57.0.2", "10.57.0.5", "10.57.0.6", "10.58.0.2"]);
        let chosen = Wish { ipv4: Some([10, 58, 0, 77].into()), ..wish("chosen", "two") };
        let chosen = Connect { wishes: vec![chosen], ..request("chosen") };
        assert_eq!(address(&host.wait(networks.connect(chosen)).unwrap().sandbox), "10.58.0.77");
        let again = host.wait(networks.create(NewNetwork { name: "again".to_owned(), ..two }));
        assert_eq!(again.unwrap_err().kind(), Kind::Forbidden, "the addresses are taken");
        host.wait(networks.retain(&HashSet::new())).unwrap();
    });
}

#[test]
fn what_the_host_lacks_is_said() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let _neighbour = host.neighbour();
        let make = |driver: &str, words: &[(&str, &str)]| {
            host.wait(networks.create(new("n", driver, words, &[])))
        };
        let said =
            |driver: &str, words: &[(&str, &str)]| make(driver, words).unwrap_err().to_string();
        assert_eq!(
            said("macvlan", &[("parent", "lo")]),
            "loopback interface is not a valid macvlan parent link"
        );
        assert_eq!(
            said("macvlan", &[("parent", "nope.10")]),
            "-o parent interface was not found on the host: nope"
        );
        assert!(
            said("macvlan", &[("parent", "nope")]).starts_with("invalid subinterface vlan name")
        );
        assert!(
            said("macvlan", &[("com.docker.network.bridge.name", "x")]).contains("bridge.name=x")
        );
    });
}

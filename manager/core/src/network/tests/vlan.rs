//! Containers on a VLAN of an interface of the host. Where the kernel has none, that is said, and
//! `integration/guest/test --networks` tries them on one that has.

use netlink_packet_route::link::InfoKind;

use super::host::{call, inside, is_out_of_reach, on_a_host, output, run, serve};
use super::stacked::{address, connect, has_or_says_so, new};

#[test]
fn a_vlan_is_made_for_its_networks_and_goes_with_the_last() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let there = |network: &str, subnet: (&str, Option<&str>)| {
            new(network, "macvlan", &[("parent", "cable9.10")], &[subnet])
        };
        let lan = host.wait(networks.create(there("lan", ("10.10.0.0/24", Some("10.10.0.2")))));
        if !has_or_says_so(InfoKind::Vlan, "CONFIG_VLAN_8021Q", lan) {
            return;
        }
        inside(&neighbour, || {
            run("ip link add link uplink name uplink.10 type vlan id 10");
            run("ip address add 10.10.0.2/24 dev uplink.10");
            run("ip link set uplink.10 up");
        });
        let vlan = || output("ip -d -o link").contains("vlan protocol 802.1Q id 10");
        assert!(vlan());
        // Another network is on it, too.
        host.wait(networks.create(there("beside", ("10.11.0.0/24", None)))).unwrap();
        let web = connect(&host, &networks, "web", "lan").unwrap();
        assert_eq!(address(&web), "10.10.0.1");
        let namespace = web.netns.clone().unwrap();
        serve(&namespace, 80, "web");
        serve(&neighbour, 80, "neighbour");
        assert_eq!(inside(&neighbour, || call("10.10.0.1:80")).unwrap(), "web 10.10.0.2");
        assert_eq!(inside(&namespace, || call("10.10.0.2:80")).unwrap(), "neighbour 10.10.0.1");
        // Who is on the wire, but not on the VLAN, does not reach it.
        inside(&neighbour, || {
            run("ip address flush dev uplink.10");
            run("ip route add 10.10.0.0/24 dev uplink");
            assert!(is_out_of_reach("10.10.0.1:80"));
        });

        // The next manager knows that it is its own, and takes it away after the last network.
        drop(networks);
        let networks = host.open().unwrap();
        host.disconnect(&networks, "web");
        host.wait(networks.remove("lan")).unwrap();
        assert!(vlan());
        host.wait(networks.remove("beside")).unwrap();
        assert!(!vlan());
    });
}

#[test]
fn one_that_the_host_has_is_left_alone() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let _neighbour = host.neighbour();
        let lan = new("lan", "macvlan", &[("parent", "cable9.7")], &[]);
        let made = host.wait(networks.create(lan.clone()));
        if !has_or_says_so(InfoKind::Vlan, "CONFIG_VLAN_8021Q", made) {
            return;
        }
        host.wait(networks.remove("lan")).unwrap();
        run("ip link add link cable9 name cable9.7 type vlan id 7");
        run("ip link set cable9.7 up");
        host.wait(networks.create(lan)).unwrap();
        connect(&host, &networks, "web", "lan").unwrap();
        host.disconnect(&networks, "web");
        host.wait(networks.remove("lan")).unwrap();
        assert!(output("ip -d -o link").contains("vlan protocol 802.1Q id 7"));
    });
}

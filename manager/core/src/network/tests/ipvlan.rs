//! Containers that share the hardware address of an interface of the host. Where the kernel has no
//! such interfaces, that is said, and `integration/guest/test --networks` tries them on one that has.

use std::sync::Arc;

use netlink_packet_route::link::InfoKind;

use super::host::{
    Host, call, inside, is_out_of_reach, on_a_host, output, request, run, serve, wish,
};
use super::stacked::{address, connect, has_or_says_so, new, reaches};
use crate::network::{Connect, Networks, Sandbox, Wish};

/// Makes the network `lan` of this mode and flag; whether the kernel has such.
fn lan(
    host: &Host,
    networks: &Arc<Networks>,
    [mode, flag]: [&str; 2],
    subnets: &[(&str, Option<&str>)],
) -> bool {
    let words = [("parent", "cable9"), ("ipvlan_mode", mode), ("ipvlan_flag", flag)];
    let made = host.wait(networks.create(new("lan", "ipvlan", &words, subnets)));
    has_or_says_so(InfoKind::IpVlan, "CONFIG_IPVLAN", made)
}

fn serve_in(sandbox: &Sandbox, port: u16) {
    serve(sandbox.netns.as_ref().unwrap(), port, "web");
}

/// What a server says to a container.
fn said_to(sandbox: &Sandbox, place: &str) -> Option<String> {
    inside(sandbox.netns.as_ref().unwrap(), || call(place))
}

#[test]
fn on_the_wire_they_are_neighbours_of_the_host() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        serve(&neighbour, 80, "neighbour");
        let cable = || output("ip -d -o link show cable9") + &output("ip address show cable9");
        let before = cable();
        let wire = [("10.9.0.0/24", Some("10.9.0.2"))];
        if !lan(&host, &networks, ["l2", "bridge"], &wire) {
            return;
        }
        let spare = connect(&host, &networks, "spare", "lan").unwrap();
        assert_eq!(address(&spare), "10.9.0.1", "it is the host's own, which nobody has said");
        let web = connect(&host, &networks, "web", "lan").unwrap();
        let chosen = Wish { ipv4: Some([10, 9, 0, 77].into()), ..wish("other", "lan") };
        let other = Connect { wishes: vec![chosen], ..request("other") };
        let other = host.wait(networks.connect(other)).unwrap().sandbox;
        host.disconnect(&networks, "spare");
        assert_eq!([address(&web), address(&other)], ["10.9.0.3", "10.9.0.77"]);
        let mac = web.endpoints[0].interface.as_ref().unwrap().mac.to_string();
        assert!(output("ip link show cable9").contains(&mac), "it is the parent's");
        serve_in(&web, 80);
        assert_eq!(inside(&neighbour, || call("10.9.0.3:80")).unwrap(), "web 10.9.0.2");
        assert_eq!(said_to(&other, "10.9.0.3:80").unwrap(), "web 10.9.0.77");
        assert_eq!(said_to(&other, "10.9.0.2:80").unwrap(), "neighbour 10.9.0.77");
        let routes = inside(other.netns.as_ref().unwrap(), || output("ip route"));
        assert!(routes.contains("default via 10.9.0.2 dev eth0"), "{routes}");
        assert!(is_out_of_reach("10.9.0.3:80"), "the host does not reach what stands on it");

        let mac = Some("02:00:00:00:00:77".parse().unwrap());
        let wishes = vec![Wish { mac, ..wish("third", "lan") }];
        let refused = host.wait(networks.connect(Connect { wishes, ..request("third") }));
        let said = refused.unwrap_err().to_string();
        assert!(said.ends_with("do not support custom mac address assignment"), "{said}");

        // The next manager has it, and it goes with its last container and its network.
        drop(networks);
        let networks = host.open().unwrap();
        assert_eq!(*networks.sandbox("web").unwrap(), web);
        assert!(reaches(&other, "10.9.0.3:80"));
        for container in ["web", "other"] {
            host.disconnect(&networks, container);
        }
        host.wait(networks.remove("lan")).unwrap();
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        assert_eq!(cable(), before);
    });
}

#[test]
fn flags_say_who_reaches_whom() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        for (flag, each_other) in [("bridge", true), ("private", false), ("vepa", false)] {
            let wire = [("10.9.0.0/24", Some("10.9.0.1"))];
            if !lan(&host, &networks, ["l2", flag], &wire) {
                return;
            }
            // The neighbour has the address that the first one would get.
            let spare = connect(&host, &networks, "spare", "lan").unwrap();
            let web = connect(&host, &networks, "web", "lan").unwrap();
            let other = connect(&host, &networks, "other", "lan").unwrap();
            host.disconnect(&networks, "spare");
            drop(spare);
            serve_in(&web, 80);
            assert_eq!(reaches(&other, "10.9.0.3:80"), each_other, "{flag}");
            assert_eq!(inside(&neighbour, || call("10.9.0.3:80")).unwrap(), "web 10.9.0.2");
            for container in ["web", "other"] {
                host.disconnect(&networks, container);
            }
            host.wait(networks.remove("lan")).unwrap();
        }
    });
}

#[test]
fn without_a_wire_they_are_routed() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        serve(&neighbour, 80, "neighbour");
        // Those of `l3s` alone pass the host's packet filter.
        run("nft add table ip own");
        run("nft add chain ip own input { type filter hook input priority filter; }");
        run("nft add rule ip own input tcp dport 81 drop");
        for (mode, filtered) in [("l3", false), ("l3s", true)] {
            let subnets = [("10.77.0.0/24", None), ("10.78.0.0/24", None)];
            if !lan(&host, &networks, [mode, "bridge"], &subnets) {
                return;
            }
            let web = connect(&host, &networks, "web", "lan").unwrap();
            let far = Wish { ipv4: Some([10, 78, 0, 9].into()), ..wish("far", "lan") };
            let far = Connect { wishes: vec![far], ..request("far") };
            let far = host.wait(networks.connect(far)).unwrap().sandbox;
            let place = address(&web);
            serve_in(&web, 80);
            serve_in(&web, 81);
            let routes = inside(web.netns.as_ref().unwrap(), || output("ip route"));
            assert!(routes.contains("default dev eth0"), "{mode}: {routes}");
            assert_eq!(said_to(&far, &format!("{place}:80")).unwrap(), "web 10.78.0.9", "{mode}");
            assert_eq!(said_to(&far, "10.9.0.2:80").unwrap(), "neighbour 10.78.0.9", "{mode}");
            inside(&neighbour, || {
                assert_eq!(call(&format!("{place}:80")).unwrap(), "web 10.9.0.2", "{mode}");
                assert_eq!(is_out_of_reach(&format!("{place}:81")), filtered, "{mode}");
            });
            for container in ["web", "far"] {
                host.disconnect(&networks, container);
            }
            host.wait(networks.remove("lan")).unwrap();
        }
    });
}

#[test]
fn without_a_parent_they_reach_only_each_other() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let made =
            host.wait(networks.create(new("alone", "ipvlan", &[], &[("10.6.0.0/24", None)])));
        if !has_or_says_so(InfoKind::IpVlan, "CONFIG_IPVLAN", made) {
            return;
        }
        assert!(output("ip -o link").contains("di-"));
        let web = connect(&host, &networks, "web", "alone").unwrap();
        let other = connect(&host, &networks, "other", "alone").unwrap();
        serve_in(&web, 80);
        let place = format!("{}:80", address(&web));
        assert!(reaches(&other, &place) && is_out_of_reach(&place));
        for container in ["web", "other"] {
            host.disconnect(&networks, container);
        }
        host.wait(networks.remove("alone")).unwrap();
        assert!(!output("ip -o link").contains("di-"));
    });
}

//! IPv6, beside IPv4 and alone: addresses, names of places, published ports, and who reaches whom.

use std::path::Path;
use std::sync::Arc;

use super::host::{
    Host, call, inside, is_out_of_reach, on_a_host, output, request, run, serve, tcp, wish,
};
use crate::error::Kind;
use crate::network::{
    ByFamily, Connect, Connected, Ipam, Networks, NewNetwork, Pool, PortRequest, Wish,
};

/// Makes a network; `options` are docker's, without what all of them begin with.
fn create(
    host: &Host,
    networks: &Arc<Networks>,
    name: &str,
    subnets: &[&str],
    options: &[(&str, &str)],
) {
    let has = |sign| Some(subnets.iter().any(|subnet| subnet.contains(sign)));
    let pools = subnets.iter().map(|subnet| Pool::of(subnet.parse().unwrap())).collect();
    let option =
        |(key, value): &(&str, &str)| (format!("com.docker.network.{key}"), (*value).to_owned());
    let new = NewNetwork {
        name: name.to_owned(),
        families: ByFamily { ipv4: has('.'), ipv6: has(':') },
        ipam: Ipam { pools, options: None },
        options: options.iter().map(option).collect(),
        ..NewNetwork::default()
    };
    host.wait(networks.create(new)).unwrap();
}

fn connect(
    host: &Host,
    networks: &Arc<Networks>,
    container: &str,
    network: &str,
    ports: &[PortRequest],
) -> Connected {
    let wishes = vec![wish(container, network)];
    let ports = ports.to_vec();
    host.wait(networks.connect(Connect { wishes, ports, ..request(container) })).unwrap()
}

/// A neighbour at 10.9.0.2 and fd09::2, which sends what is for containers to us.
fn neighbour(host: &Host) -> std::path::PathBuf {
    let path = host.neighbour();
    run("ip address add fd09::1/64 dev cable9 nodad");
    inside(&path, || {
        run("ip address add fd09::2/64 dev uplink nodad");
        run("ip route add default via fd09::1");
    });
    path
}

fn addresses(netns: &Path) -> String {
    inside(netns, || output("ip -o address show dev eth0"))
}

#[test]
fn a_network_has_both_kinds_and_ports_lead_to_both() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        create(&host, &networks, "both", &["10.5.0.0/24", "fd05::/64"], &[]);
        let neighbour = neighbour(&host);
        let ports = [tcp("", 8080, 80), tcp("::1", 8081, 80), tcp("fd09::1", 8082, 80)];
        let web = connect(&host, &networks, "web", "both", &ports).sandbox;
        let netns = web.netns.clone().unwrap();
        serve(&netns, 80, "web");
        let published: Vec<_> = web.ports.iter().map(|port| port.host_ip.to_string()).collect();
        assert_eq!(published, ["0.0.0.0", "::", "::1", "fd09::1"]);
        let listed = addresses(&netns);
        assert!(listed.contains("10.5.0.2/24") && listed.contains("fd05::2/64"), "{listed}");
        assert!(!listed.contains("tentative"), "{listed}");

        // By the host itself, from its loopback, and by whoever else there is.
        assert_eq!(call("[fd09::1]:8080").unwrap(), "web fd09::1");
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 10.5.0.1");
        inside(&neighbour, || {
            assert_eq!(call("[fd09::1]:8080").unwrap(), "web fd09::2", "the client is known");
            assert_eq!(call("[fd09::1]:8082").unwrap(), "web fd09::2");
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
            assert!(is_out_of_reach("[fd09::1]:8081"));
            assert!(is_out_of_reach("[fd05::2]:80"), "not but by a published port");
        });
        // By itself and by its neighbours.
        let other = connect(&host, &networks, "other", "both", &[]).sandbox.netns.unwrap();
        inside(&netns, || assert_eq!(call("[fd05::1]:8080").unwrap(), "web fd05::1"));
        inside(&other, || {
            assert_eq!(call("[fd05::2]:80").unwrap(), "web fd05::3");
            assert!(call("[fd09::1]:8080").unwrap().starts_with("web fd05::"));
            assert!(is_out_of_reach("[::1]:8080"));
        });
        // The world outside sees the host.
        serve(&neighbour, 7000, "neighbour");
        inside(&netns, || assert_eq!(call("[fd09::2]:7000").unwrap(), "neighbour fd09::1"));
        host.disconnect(&networks, "web");
        host.disconnect(&networks, "other");
        host.wait(networks.remove("both")).unwrap();
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
    });
}

#[test]
fn networks_are_apart_and_the_next_manager_has_them() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        create(&host, &networks, "one", &["fd01::/64"], &[]);
        create(&host, &networks, "two", &["10.2.0.0/24", "fd02::/64"], &[]);
        let one = connect(&host, &networks, "one", "one", &[tcp("", 8080, 80)]).sandbox;
        let two = connect(&host, &networks, "two", "two", &[]).sandbox;
        assert_eq!(one.endpoints[0].interface.as_ref().unwrap().ipv4, None);
        serve(one.netns.as_ref().unwrap(), 80, "one");
        serve(two.netns.as_ref().unwrap(), 80, "two");
        let apart = || {
            inside(one.netns.as_ref().unwrap(), || assert!(is_out_of_reach("[fd02::2]:80")));
            inside(two.netns.as_ref().unwrap(), || {
                assert!(is_out_of_reach("[fd01::2]:80"));
                assert_eq!(call("[fd02::1]:8080").unwrap(), "one fd01::1");
            });
        };
        apart();
        assert!(networks.sandbox("one").unwrap().published().count() == 1);
        drop(networks);
        run("nft flush ruleset");
        let networks = host.open().unwrap();
        apart();
        assert_eq!(*networks.sandbox("one").unwrap(), one);
        let third = connect(&host, &networks, "third", "one", &[]).sandbox;
        let interface = third.endpoints[0].interface.as_ref().unwrap();
        assert_eq!(interface.ipv6.unwrap().address.to_string(), "fd01::3");
    });
}

#[test]
fn addresses_are_had_on_wish_and_none_twice() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        create(&host, &networks, "both", &["10.5.0.0/24", "fd05::/64"], &[]);
        let wish = |container: &str| Wish {
            ipv4: Some("10.5.0.9".parse().unwrap()),
            ipv6: Some("fd05::9".parse().unwrap()),
            link_local: vec!["169.254.8.8".parse().unwrap(), "fe80::8".parse().unwrap()],
            ..wish(container, "both")
        };
        let connect = |container: &str| {
            let wishes = vec![wish(container)];
            host.wait(networks.connect(Connect { wishes, ..request(container) }))
        };
        let web = connect("web").unwrap().sandbox;
        let listed = addresses(web.netns.as_ref().unwrap());
        for address in ["10.5.0.9/24", "fd05::9/64", "169.254.8.8/16", "fe80::8/64"] {
            assert!(listed.contains(address), "{address} is not in {listed}");
        }
        assert_eq!(connect("other").unwrap_err().kind(), Kind::Forbidden);
        host.disconnect(&networks, "web");
        connect("other").unwrap();
    });
}

#[test]
fn containers_may_be_reached_by_routes() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let both = "bridge.gateway_mode_ipv4";
        let newer = "bridge.gateway_mode_ipv6";
        let routed = [(both, "routed"), (newer, "routed")];
        create(&host, &networks, "routed", &["10.1.0.0/24", "fd01::/64"], &routed);
        let open = [(both, "nat-unprotected"), (newer, "nat-unprotected")];
        create(&host, &networks, "open", &["10.2.0.0/24", "fd02::/64"], &open);
        let trusting = [("bridge.trusted_host_interfaces", "cable9")];
        create(&host, &networks, "trusting", &["10.3.0.0/24", "fd03::/64"], &trusting);
        for network in ["routed", "open", "trusting"] {
            let port = if network == "routed" { 0 } else { 8080 };
            let ports = [PortRequest { ..tcp("", port, 80) }];
            let ports = if network == "trusting" { [tcp("", 8081, 80)] } else { ports };
            let netns = connect(&host, &networks, network, network, &ports).sandbox.netns.unwrap();
            serve(&netns, 80, network);
            serve(&netns, 81, network);
        }
        let shown = &networks.sandbox("routed").unwrap().ports;
        assert!(shown.iter().all(|port| port.host_port == 0 && port.host_ip.is_unspecified()));
        let neighbour = neighbour(&host);
        inside(&neighbour, || {
            for [there, not] in [["10.1.0.2:80", "10.1.0.2:81"], ["[fd01::2]:80", "[fd01::2]:81"]] {
                assert!(call(there).unwrap().starts_with("routed "), "{there}");
                assert!(is_out_of_reach(not), "{not}");
            }
            for there in ["10.2.0.2:80", "10.2.0.2:81", "[fd02::2]:81", "10.9.0.1:8080"] {
                assert!(call(there).unwrap().starts_with("open "), "{there}");
            }
            for there in ["10.3.0.2:80", "[fd03::2]:80", "[fd09::1]:8081"] {
                assert!(call(there).unwrap().starts_with("trusting "), "{there}");
            }
            assert!(is_out_of_reach("10.3.0.2:81"));
        });
        // A container that is not routed reaches those that are, as the host.
        create(&host, &networks, "hidden", &["10.4.0.0/24", "fd04::/64"], &[]);
        let hidden = connect(&host, &networks, "hidden", "hidden", &[]).sandbox.netns.unwrap();
        inside(&hidden, || {
            assert_eq!(call("10.1.0.2:80").unwrap(), "routed 10.1.0.1");
            assert!(call("[fd01::2]:80").unwrap().starts_with("routed "));
            assert!(call("10.2.0.2:81").unwrap().starts_with("open "));
            assert!(is_out_of_reach("10.1.0.2:81"));
            assert!(is_out_of_reach("10.3.0.2:80"));
        });
        // What is routed is seen as it is outside.
        serve(&neighbour, 7000, "neighbour");
        let routed = networks.sandbox("routed").unwrap().netns.clone().unwrap();
        inside(&routed, || assert_eq!(call("10.9.0.2:7000").unwrap(), "neighbour 10.1.0.2"));
        host.disconnect(&networks, "routed");
        inside(&neighbour, || assert!(is_out_of_reach("10.1.0.2:80")));
    });
}

#[test]
fn containers_are_seen_as_who_they_shall() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = neighbour(&host);
        run("ip address add 10.9.0.77/32 dev cable9");
        create(&host, &networks, "seen", &["10.1.0.0/24"], &[("host_ipv4", "10.9.0.77")]);
        let seen = connect(&host, &networks, "seen", "seen", &[]).sandbox.netns.unwrap();
        serve(&neighbour, 7000, "neighbour");
        inside(&seen, || assert_eq!(call("10.9.0.2:7000").unwrap(), "neighbour 10.9.0.77"));
        host.disconnect(&networks, "seen");
        host.wait(networks.remove("seen")).unwrap();
    });
}

#[test]
fn the_default_network_is_as_its_owner_wants() {
    on_a_host(|mut host| {
        let bridge = &mut host.config.bridge;
        bridge.ipv6 = true;
        bridge.addresses.ipv4 = Some("10.4.0.1/24".parse().unwrap());
        bridge.ranges.ipv4 = Some("10.4.0.64/26".parse().unwrap());
        bridge.ranges.ipv6 = Some("fd04::/80".parse().unwrap());
        bridge.gateways.ipv4 = Some("10.4.0.99".parse().unwrap());
        bridge.icc = false;
        let networks = host.open().unwrap();
        let one = host.connect(&networks, "one", &[]).unwrap().sandbox;
        let two = host.connect(&networks, "two", &[]).unwrap().sandbox;
        let interface = two.endpoints[0].interface.clone().unwrap();
        assert_eq!(interface.ipv4.unwrap().address.to_string(), "10.4.0.65");
        assert_eq!(interface.ipv4.unwrap().gateway.unwrap().to_string(), "10.4.0.99");
        assert_eq!(interface.ipv6.unwrap().address.to_string(), "fd04::3");
        let gateways: Vec<_> = networks.host_gateways().iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.4.0.1", "fd04::1"]);
        serve(&one.netns.unwrap(), 80, "one");
        inside(&two.netns.unwrap(), || {
            assert!(is_out_of_reach("10.4.0.64:80") && is_out_of_reach("[fd04::2]:80"));
        });
    });
}

#[test]
fn an_address_is_had_again_at_once() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        create(&host, &networks, "narrow", &["10.5.0.0/30"], &[]);
        for round in 0..10 {
            let container = format!("web{round}");
            let address = (round % 2 == 0).then(|| "10.5.0.2".parse().unwrap());
            let wishes = vec![Wish { ipv4: address, ..wish(&container, "narrow") }];
            host.wait(networks.connect(Connect { wishes, ..request(&container) })).unwrap();
            // It is still being taken away when the next one comes.
            host.wait(networks.disconnect(&container)).unwrap();
        }
        host.wait(networks.remove("narrow")).unwrap();
    });
}

#[test]
fn networks_are_made_from_what_another_says() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let template = NewNetwork {
            name: "template".to_owned(),
            ipam: Ipam { pools: vec![Pool::of("10.5.0.0/24".parse().unwrap())], options: None },
            config_only: true,
            ..NewNetwork::default()
        };
        host.wait(networks.create(template)).unwrap();
        let made = |name: &str| NewNetwork {
            name: name.to_owned(),
            config_from: Some("template".to_owned()),
            ..NewNetwork::default()
        };
        host.wait(networks.create(made("made"))).unwrap();
        drop(networks);
        let networks = host.open().unwrap();
        let info = networks.find("made").unwrap();
        assert_eq!(info.subnets[0].to_string(), "10.5.0.0/24");
        assert_eq!((info.driver, info.config_from.as_deref()), ("bridge", Some("template")));
        let template = networks.find("template").unwrap();
        assert_eq!((template.driver, template.config_only), ("null", true));
        let wishes = vec![wish("web", "template")];
        let refused = host.wait(networks.connect(Connect { wishes, ..request("web") }));
        assert_eq!(refused.unwrap_err().kind(), Kind::Forbidden);
        let says_more = NewNetwork { options: [("a".into(), "b".into())].into(), ..made("more") };
        assert_eq!(host.wait(networks.create(says_more)).unwrap_err().kind(), Kind::Forbidden);
        let lost = NewNetwork { config_from: Some("made".to_owned()), ..made("lost") };
        assert_eq!(host.wait(networks.create(lost)).unwrap_err().kind(), Kind::NotFound);
        assert!(host.wait(networks.remove("template")).is_err());
        host.wait(networks.remove("made")).unwrap();
        host.wait(networks.remove("template")).unwrap();
    });
}

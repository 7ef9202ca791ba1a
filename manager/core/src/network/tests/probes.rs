//! What somebody tries who sits on the host's network or in a container, and can send any packet:
//! ways to containers, and to the host's loopback, that nobody has opened.

use std::fs::write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::host::{Host, call, inside, is_out_of_reach, on_a_host, output, run, serve, tcp};
use crate::network::NewNetwork;

/// What is told of rules of one's own.
const FIREWALL: &str = include_str!("../../../../../docs/firewall.md");

/// What root of a network stack can do to send packets for 127.0.0.1 to somebody else.
fn send_loopback_to(gateway: &str) {
    write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
    run("ip address flush dev lo");
    run(&format!("ip route add 127.0.0.1/32 via {gateway}"));
}

/// The hardware address of a link.
fn mac_of(link: &str) -> String {
    let link = output(&format!("ip -o link show {link}"));
    let (_, mac) = link.split_once("link/ether ").unwrap();
    mac.split(' ').next().unwrap().to_owned()
}

fn nft(script: &str) {
    let mut nft =
        Command::new("nft").arg("-f").arg("-").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut nft.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{script}");
}

#[test]
fn what_is_published_on_loopback_is_for_the_host_alone() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let ports = [tcp("127.0.0.1", 8081, 80), tcp("", 8080, 80)];
        let web = host.connect(&networks, "web", &ports).unwrap().sandbox.netns.unwrap();
        let hostile = host.connect(&networks, "hostile", &[]).unwrap().sandbox.netns.unwrap();
        serve(&web, 80, "web");
        // Others on this host may have turned this on, on all of its interfaces.
        write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        assert_eq!(call("127.0.0.1:8081").unwrap(), "web 172.17.0.1");
        for (who, gateway) in [(&neighbour, "10.9.0.1"), (&hostile, "172.17.0.1")] {
            inside(who, || {
                send_loopback_to(gateway);
                assert!(is_out_of_reach("127.0.0.1:8081"), "by {gateway}");
                assert!(is_out_of_reach("127.0.0.1:8080"), "by {gateway}");
                assert!(is_out_of_reach(&format!("{gateway}:8081")), "by {gateway}");
                // As if the packet had come from the host itself.
                run("ip address add 127.0.0.1/8 dev lo");
                run(&format!("ip route add 10.99.0.0/16 via {gateway} src 127.0.0.1"));
                assert!(is_out_of_reach("10.99.0.1:8081"), "by {gateway}");
            });
        }
        assert_eq!(call("127.0.0.1:8081").unwrap(), "web 172.17.0.1");
    });
}

#[test]
fn containers_are_not_reached_by_their_addresses_from_outside() {
    on_a_host(|host| {
        write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let web = web.sandbox.netns.unwrap();
        serve(&web, 80, "web");
        serve(&web, 83, "web");
        let host_mac = mac_of("cable9");
        inside(&neighbour, || {
            // By a route, as the neighbour has; then as if it were on the same wire.
            for port in [80, 83] {
                assert!(is_out_of_reach(&format!("172.17.0.2:{port}")));
            }
            run("ip route add 172.17.0.0/16 dev uplink");
            assert!(is_out_of_reach("172.17.0.2:80"));
            let asked = output("ip neigh show 172.17.0.2");
            assert!(!asked.contains("lladdr"), "the host answers for containers: {asked}");
            run(&format!("ip neigh replace 172.17.0.2 lladdr {host_mac} dev uplink"));
            for port in [80, 83] {
                assert!(is_out_of_reach(&format!("172.17.0.2:{port}")));
            }
            // With the address of a container, too, and of the bridge.
            for source in ["172.17.0.9", "172.17.0.1"] {
                run(&format!("ip address add {source}/32 dev uplink"));
                run(&format!("ip route replace 172.17.0.2/32 dev uplink src {source}"));
                assert!(is_out_of_reach("172.17.0.2:83"), "from {source}");
                run(&format!("ip address delete {source}/32 dev uplink"));
                run("ip route replace 172.17.0.2/32 dev uplink");
            }
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
        });
    });
}

/// A container on a network of its own, and where the host is on that.
fn on_its_own(
    host: &Host,
    networks: &std::sync::Arc<crate::network::Networks>,
    name: &str,
) -> PathBuf {
    let network = format!("net-{name}");
    host.wait(networks.create(NewNetwork { name: network.clone(), ..NewNetwork::default() }))
        .unwrap();
    let wishes = vec![super::host::wish(name, &network)];
    let request = crate::network::Connect { wishes, ..super::host::request(name) };
    host.wait(networks.connect(request)).unwrap().sandbox.netns.unwrap()
}

#[test]
fn a_container_reaches_no_other_network_whatever_it_sends() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = on_its_own(&host, &networks, "web");
        let hostile = on_its_own(&host, &networks, "hostile");
        serve(&web, 80, "web");
        assert_eq!(call("172.18.0.2:80").unwrap(), "web 172.18.0.1");
        let program = TcpListener::bind("127.0.0.1:9000").unwrap();
        let bridge = inside(&hostile, || {
            assert!(is_out_of_reach("172.18.0.2:80"), "by its gateway");
            let _ = call("172.19.0.1:1");
            let known = output("ip neigh show 172.19.0.1");
            known.split_whitespace().nth(4).unwrap().to_owned()
        });
        inside(&hostile, || {
            // As if it were on the same wire, with an address of the other network.
            run("ip route add 172.18.0.0/16 dev eth0");
            run(&format!("ip neigh replace 172.18.0.2 lladdr {bridge} dev eth0"));
            assert!(is_out_of_reach("172.18.0.2:80"), "on the wire");
            for source in ["172.18.0.7", "172.18.0.1", "127.0.0.1"] {
                if source != "127.0.0.1" {
                    run(&format!("ip address add {source}/32 dev eth0"));
                }
                run(&format!("ip route replace 172.18.0.2/32 dev eth0 src {source}"));
                assert!(is_out_of_reach("172.18.0.2:80"), "from {source}");
            }
            send_loopback_to("172.19.0.1");
            assert!(is_out_of_reach("127.0.0.1:9000"), "the host's loopback");
        });
        drop(program);
    });
}

#[test]
fn others_rules_drop_what_goes_to_containers_and_are_left_alone() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let (friend, stranger) = (host.neighbour_in(8), host.neighbour_in(9));
        let ports = [tcp("", 8080, 80), tcp("", 8081, 80)];
        let web = host.connect(&networks, "web", &ports).unwrap().sandbox.netns.unwrap();
        serve(&web, 80, "web");
        let reached = |from: &PathBuf, place: &str| inside(from, || !is_out_of_reach(place));
        assert!(reached(&stranger, "10.9.0.1:8080"));
        let (_, example) = FIREWALL.split_once("```nft\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        nft(&example.replace("\"eth0\"", "\"cable*\"").replace("192.0.2.0/24", "10.8.0.0/24"));
        let theirs = || output("nft -s list table inet mine");
        let before = theirs();
        assert!(!reached(&stranger, "10.9.0.1:8080"));
        assert!(reached(&stranger, "10.9.0.1:8081"), "another port leads to the same one");
        assert!(reached(&friend, "10.8.0.1:8080"));
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");

        // Whatever we do, they stay.
        host.connect(&networks, "other", &[tcp("", 9090, 80)]).unwrap();
        run("nft delete table inet tare-bridge0");
        host.wait_until(|| output("nft list tables").contains("tare-bridge0"));
        host.disconnect(&networks, "other");
        drop(networks);
        let _networks = host.open().unwrap();
        assert_eq!(theirs(), before);
        assert!(!reached(&stranger, "10.9.0.1:8080") && reached(&friend, "10.8.0.1:8080"));
    });
}

#[test]
fn rules_that_somebody_takes_out_of_our_table_are_laid_again() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let web = web.sandbox.netns.unwrap();
        serve(&web, 83, "web");
        let rules = || output("nft -s list table inet tare-bridge0").lines().count();
        let whole = rules();
        for harm in [
            "nft flush table inet tare-bridge0",
            "nft flush chain inet tare-bridge0 guard",
            "nft flush chain inet tare-bridge0 forward",
        ] {
            run(harm);
            assert!(rules() < whole, "{harm}");
            host.wait_until(|| rules() == whole);
            assert!(inside(&neighbour, || is_out_of_reach("172.17.0.2:83")), "{harm}");
        }
        // What somebody adds there is no harm.
        run("nft add rule inet tare-bridge0 forward counter");
        host.work_for(std::time::Duration::from_millis(1200));
        assert_eq!(rules(), whole + 1);
    });
}

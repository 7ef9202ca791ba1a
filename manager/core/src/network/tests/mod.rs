//! Networks tried out with real packets, each test on a host of its own.

mod host;

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use host::{
    LOST, PATIENCE, call, inside, is_out_of_reach, on_a_host, output, request, run, serve,
    serve_udp, tcp,
};

use crate::config::InterfaceAddress;
use crate::error::Kind;
use crate::host::{Finding, Verdict};
use crate::network::{Connect, PortChoice, PortRequest, Protocol};

/// Longer than the manager rests after it has restored its packet filter.
const REST_AND_MORE: Duration = Duration::from_millis(1200);

/// Whether the host's packet filter sees what bridges carry; either is met in the wild.
fn filter_bridged_packets(yes: bool) {
    // The setting is there only where a module is loaded.
    let _ =
        std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", u8::from(yes).to_string());
}

#[test]
fn a_published_port_is_reached_from_everywhere_and_nothing_else_is() {
    reach_what_is_published(true);
    reach_what_is_published(false);
}

fn reach_what_is_published(filtered: bool) {
    on_a_host(|host| {
        filter_bridged_packets(filtered);
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let ports = [tcp("", 8080, 80), tcp("127.0.0.1", 8081, 81), tcp("10.9.0.1", 8082, 82)];
        let web = host.connect(&networks, "web", &ports).unwrap();
        let other = host.connect(&networks, "other", &[]).unwrap();
        let (web, other) = (web.endpoint.netns.unwrap(), other.endpoint.netns.unwrap());
        for port in [80, 81, 82, 83] {
            serve(&web, port, "web");
        }

        // From the host.
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.1");
        assert_eq!(call("172.17.0.1:8080").unwrap(), "web 172.17.0.1");
        assert_eq!(call("127.0.0.1:8081").unwrap(), "web 172.17.0.1");
        assert_eq!(call("10.9.0.1:8082").unwrap(), "web 10.9.0.1");
        assert_eq!(call("172.17.0.2:83").unwrap(), "web 172.17.0.1");
        assert!(is_out_of_reach("10.9.0.1:8081"));
        assert!(is_out_of_reach("127.0.0.1:8082"));
        assert!(is_out_of_reach("127.0.0.1:8083"));

        // From a container: its neighbour by address, published ports by the host's, itself too.
        inside(&other, || {
            assert_eq!(call("172.17.0.2:83").unwrap(), "web 172.17.0.3");
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("172.17.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("10.9.0.1:8082").unwrap(), "web 172.17.0.1");
            assert!(is_out_of_reach("10.9.0.1:8081"));
        });
        inside(&web, || {
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("172.17.0.1:8080").unwrap(), "web 172.17.0.1");
        });

        // From another host.
        inside(&neighbour, || {
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
            assert_eq!(call("10.9.0.1:8082").unwrap(), "web 10.9.0.2");
            assert!(is_out_of_reach("10.9.0.1:8081"));
            for port in [80, 81, 82, 83] {
                assert!(is_out_of_reach(&format!("172.17.0.2:{port}")), "{port}");
            }
        });

        // To the world, behind the host's address.
        serve(&neighbour, 9000, "neighbour");
        inside(&web, || assert_eq!(call("10.9.0.2:9000").unwrap(), "neighbour 10.9.0.1"));
    });
}

#[test]
fn udp_is_published_too_and_its_flows_end_with_the_container() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let port = PortRequest {
            container_port: 53,
            protocol: Protocol::Udp,
            host_ip: None,
            host_port: PortChoice::Fixed(5353),
        };
        let ports = [port];
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LOST)).unwrap();
        let ask = || {
            client.send_to(b"?", "127.0.0.1:5353").unwrap();
            let mut answer = [0; 16];
            client.recv(&mut answer).ok().map(|length| answer[..length].to_vec())
        };
        // The client has begun before the port is published.
        assert_eq!(ask(), None, "nobody is there yet");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let first = host.connect(&networks, "first", &ports).unwrap();
        serve_udp(&first.endpoint.netns.unwrap(), 53, b"first");
        assert_eq!(ask().unwrap(), b"first");

        // The same client's flow must find the container that has the port next.
        drop(first.reservations);
        host.disconnect(&networks, "first");
        host.connect(&networks, "takes-the-address", &[]).unwrap();
        let second = host.connect(&networks, "second", &ports).unwrap();
        serve_udp(&second.endpoint.netns.unwrap(), 53, b"second");
        assert_eq!(ask().unwrap(), b"second");
    });
}

#[test]
fn nothing_is_left_after_disconnect_or_a_failed_connect() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        assert!(host.leftovers().is_empty());
        host.connect(&networks, "web", &[tcp("", 8080, 80), tcp("127.0.0.1", 8081, 81)]).unwrap();
        assert_eq!(host.leftovers().len(), 6, "{:?}", host.leftovers());
        host.disconnect(&networks, "web");
        host.disconnect(&networks, "web");
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());

        // The bridge can't be used: the connection fails half way.
        run("ip link delete bridge0");
        run("ip link add bridge0 type veth peer name end0");
        let error = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap_err();
        assert_eq!(error.kind(), Kind::System, "{error}");
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        assert!(networks.endpoint("web").is_none());
    });
}

#[test]
fn a_port_in_use_is_refused_in_dockers_words() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let fails = |ports: &[PortRequest]| {
            let error = host.connect(&networks, "other", ports).unwrap_err();
            assert_eq!(error.kind(), Kind::System);
            error.to_string()
        };
        let said = fails(&[tcp("", 9090, 90), tcp("127.0.0.1", 8080, 80)]);
        let prefix = "driver failed programming external connectivity on endpoint name-of-other (";
        assert!(said.starts_with(prefix), "{said}");
        assert!(said.ends_with("): Bind for 127.0.0.1:8080 failed: port is already allocated"));

        let _program = TcpListener::bind("127.0.0.1:9000").unwrap();
        let said = fails(&[tcp("", 9000, 80)]);
        assert!(said.ends_with(
            "): failed to bind host port for 0.0.0.0:9000:172.17.0.3:80/tcp: address already in use"
        ));
        let said = fails(&[tcp("192.0.2.1", 9000, 80)]);
        assert!(said.ends_with("cannot assign requested address"), "{said}");

        // What failed has kept nothing, and others are kept off the port as long as it is held.
        let other = host.connect(&networks, "other", &[tcp("", 9090, 90)]).unwrap();
        assert_eq!(other.endpoint.interface.unwrap().address, Ipv4Addr::new(172, 17, 0, 3));
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        drop(web);
        assert!(TcpListener::bind("0.0.0.0:8080").is_ok());
    });
}

#[test]
fn ports_are_chosen_from_ranges() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let port = |host_port| {
            let (container_port, protocol, host_ip) = (80, Protocol::Tcp, None);
            PortRequest { container_port, protocol, host_ip, host_port }
        };
        let range = PortChoice::Range { first: 8000, last: 8001 };
        let reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports";
        std::fs::write(reserved, "32769-32770,40000").unwrap();
        let _program = TcpListener::bind("0.0.0.0:8000").unwrap();
        let choices = [port(range), port(PortChoice::Ephemeral), port(PortChoice::Ephemeral)];
        let web = host.connect(&networks, "web", &choices).unwrap();
        let chosen: Vec<_> = web.endpoint.ports.iter().map(|port| port.host_port).collect();
        assert_eq!(chosen, [8001, 32768, 32771]);
        assert!(host.connect(&networks, "other", &[port(range)]).is_err());
        let v6 = PortRequest { host_ip: Some("::1".parse().unwrap()), ..port(range) };
        let error = host.connect(&networks, "other", &[v6]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("IPv6 address ::1"), "{error}");
    });
}

#[test]
fn the_next_manager_takes_over() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let gone = host.connect(&networks, "gone", &[tcp("", 8081, 80)]).unwrap();
        serve(web.endpoint.netns.as_ref().unwrap(), 80, "web");
        let ids: Vec<_> = networks.list().into_iter().map(|network| network.id).collect();
        drop((networks, gone.reservations));
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");

        let networks = host.open().unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        let again: Vec<_> = networks.list().into_iter().map(|network| network.id).collect();
        assert_eq!(again, ids);
        assert_eq!(*networks.endpoint("web").unwrap(), web.endpoint);
        assert!(host.connect(&networks, "other", &[tcp("", 8080, 80)]).is_err());

        // Before it is known who runs, nothing is taken from anybody.
        let other = host.connect(&networks, "other", &[]).unwrap().endpoint.interface.unwrap();
        assert_eq!(other.address, Ipv4Addr::new(172, 17, 0, 4));
        host.disconnect(&networks, "other");
        run("ip link add tare-stranger type bridge");
        let alias = ["link", "set", "lost", "alias", "tare bridge0 unknown"];
        run("ip link add lost type bridge");
        assert!(Command::new("ip").args(alias).status().unwrap().success());
        host.wait(networks.retain(&HashSet::from(["web".to_owned()]))).unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        let links = output("ip -o link");
        assert!(links.contains("tare-stranger") && !links.contains("lost"), "{links}");
        run("ip link delete tare-stranger");
        let left = host.leftovers();
        assert!(left.iter().all(|what| what.contains("web") || what.contains("tare-")), "{left:?}");
        assert_eq!(left.len(), 5, "{left:?}");
        let next = host.connect(&networks, "next", &[tcp("", 8081, 80)]).unwrap();
        assert_eq!(next.endpoint.interface.unwrap().address, Ipv4Addr::new(172, 17, 0, 3));
    });
}

#[test]
fn laying_the_rules_anew_opens_nothing_and_closes_nothing() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let mapped = [tcp("", 8080, 80), tcp("127.0.0.1", 8081, 80), tcp("10.9.0.1", 8082, 80)];
        let web = host.connect(&networks, "web", &mapped).unwrap().endpoint.netns.unwrap();
        serve(&web, 80, "web");
        serve(&web, 83, "web");
        let table = output("nft list ruleset");
        let tries = AtomicUsize::new(0);
        thread::scope(|scope| {
            let neighbour = scope.spawn(|| {
                inside(&neighbour, || {
                    while tries.fetch_add(1, Ordering::Relaxed) < 10 {
                        assert!(is_out_of_reach("172.17.0.2:83"));
                        assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
                    }
                })
            });
            while !neighbour.is_finished() {
                host.open().unwrap();
                assert_eq!(call("127.0.0.1:8081").unwrap(), "web 172.17.0.1");
            }
            neighbour.join().unwrap();
        });
        let sorted = |table: &str| {
            let mut lines: Vec<_> = table.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&output("nft list ruleset")), sorted(&table));
    });
}

#[test]
fn the_hosts_loopback_is_out_of_reach() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let program = TcpListener::bind("127.0.0.1:9000").unwrap();
        let container = host.connect(&networks, "hostile", &[]).unwrap().endpoint.netns.unwrap();
        inside(&container, || {
            // All that root in a container could do to send packets for 127.0.0.1 to the host.
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
            run("ip address flush dev lo");
            run("ip route add 127.0.0.1/32 via 172.17.0.1");
            assert!(is_out_of_reach("127.0.0.1:9000"));
        });
        program.set_nonblocking(true).unwrap();
        assert!(program.accept().is_err());
    });
}

#[test]
fn an_address_is_reached_at_once_by_its_new_owner() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let mac = Some("02:00:00:00:00:01".parse().unwrap());
        let first = host.wait(networks.connect(Connect { mac, ..request("first") })).unwrap();
        serve(&first.endpoint.netns.unwrap(), 80, "first");
        assert_eq!(call("172.17.0.2:80").unwrap(), "first 172.17.0.1");
        host.disconnect(&networks, "first");
        let second = host.connect(&networks, "second", &[]).unwrap().endpoint;
        assert_eq!(second.interface.unwrap().address, Ipv4Addr::new(172, 17, 0, 2));
        serve(&second.netns.unwrap(), 80, "second");
        assert_eq!(call("172.17.0.2:80").unwrap(), "second 172.17.0.1");
    });
}

#[test]
fn what_a_manager_that_was_killed_left_half_way_is_swept() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        drop(networks);
        // Killed before anything was in the kernel, and after the records were lost.
        let record =
            |container: &str| host.config.endpoint_directory().join(format!("{container}.json"));
        let written = std::fs::read_to_string(record("web")).unwrap();
        let begun = written.replace("web", "begun").replace("tare-", "tare_");
        std::fs::write(record("begun"), begun).unwrap();
        std::fs::write(record("torn"), &written[..40]).unwrap();
        std::fs::remove_file(record("web")).unwrap();
        drop(web);

        let networks = host.open().unwrap();
        host.wait(networks.retain(&HashSet::new())).unwrap();
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap().endpoint;
        assert_eq!(web.interface.unwrap().address, Ipv4Addr::new(172, 17, 0, 2));
    });
}

#[test]
fn what_others_delete_is_made_again() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        serve(&web.endpoint.netns.unwrap(), 80, "web");
        run("nft flush ruleset");
        assert!(is_out_of_reach("127.0.0.1:8080"));
        host.connect(&networks, "other", &[]).unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        run("nft flush ruleset");
        host.disconnect(&networks, "other");
        run("ip link delete bridge0");
        let networks = host.open().unwrap();
        host.connect(&networks, "other", &[]).unwrap();
    });
}

#[test]
fn a_firewall_reload_does_not_drop_isolation() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let web = web.endpoint.netns.unwrap();
        serve(&web, 80, "web");
        serve(&web, 83, "web");
        let tables = || output("nft -a list tables");
        let is_there = || tables().contains("tare-bridge0");
        let rules = host.config.exec_root.join("rules");
        std::fs::write(&rules, "flush ruleset\ntable inet mine\n").unwrap();
        let reload = format!("nft -f {}", rules.display());
        for reload in [&reload, "nft flush ruleset", "nft delete table ip tare-bridge0", &reload] {
            run(reload);
            assert!(!is_there());
            host.wait_until(is_there);
            inside(&neighbour, || {
                assert!(is_out_of_reach("172.17.0.2:83"), "{reload}");
                assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2", "{reload}");
            });
        }

        // Rules that we lay ourselves are no reason to lay them once more, neither those that were
        // laid last nor those of the next manager.
        host.work_for(REST_AND_MORE);
        let before = tables();
        host.work_for(REST_AND_MORE);
        assert_eq!(tables(), before);
        let next = host.open().unwrap();
        let before = tables();
        host.work_for(REST_AND_MORE);
        assert_eq!(tables(), before);
        run("nft flush ruleset");
        host.wait_until(is_there);
        drop(next);
    });
}

#[test]
fn the_settings_of_the_bridge_are_checked() {
    on_a_host(|mut host| {
        run("ip link add stranger type bridge");
        run("ip address add 172.17.5.5/24 dev stranger");
        let bip = |a, b, c, d, prefix_length| {
            Some(InterfaceAddress { address: Ipv4Addr::new(a, b, c, d), prefix_length })
        };
        host.config.bridge.address = bip(172, 17, 0, 1, 16);
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("overlaps with 172.17.5.5/24"), "{error}");
        host.config.bridge.address = bip(192, 168, 7, 1, 24);
        host.config.bridge.name = "lo".to_owned();
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("lo of this host is no bridge"), "{error}");
        assert_eq!(output("nft list tables"), "", "the host's loopback would be cut off");

        // Someone else's bridge is used, but not changed.
        host.config.bridge.name = "stranger".to_owned();
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("does not have the address 192.168.7.1/24"), "{error}");
        run("ip address add 192.168.7.1/24 dev stranger");
        let before = output("ip address show dev stranger");
        host.open().unwrap();
        assert_eq!(output("ip address show dev stranger"), before);
        run("ip link delete stranger");

        host.config.bridge.name = "bridge1".to_owned();
        host.config.bridge.mtu = Some(1400);
        host.open().unwrap();
        host.config.bridge.address = bip(192, 168, 8, 1, 24);
        let networks = host.open().unwrap();
        let addresses = output("ip -o -4 address show dev bridge1");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        assert!(addresses.contains("192.168.8.1/24 brd 192.168.8.255"), "{addresses}");
        let web = host.connect(&networks, "web", &[]).unwrap().endpoint;
        assert_eq!(web.interface.as_ref().unwrap().mac.to_string(), "02:42:c0:a8:08:02");
        let link = inside(web.netns.as_ref().unwrap(), || output("ip link show eth0"));
        assert!(link.contains("mtu 1400") && link.contains("02:42:c0:a8:08:02"), "{link}");
        for name in ["", "..", "a/b", "tare-x", "a name", "sixteen-bytes-ab"] {
            host.config.bridge.name = name.to_owned();
            assert_eq!(host.open().err().unwrap().kind(), Kind::Invalid, "{name}");
        }
    });
}

#[test]
fn a_bridge_without_settings_keeps_out_of_the_way_and_stays_where_it_is() {
    on_a_host(|mut host| {
        let subnet = || {
            let networks = host.open().unwrap();
            networks.find("bridge").unwrap().subnet.unwrap().to_string()
        };
        run("ip link add docker0 type bridge");
        run("ip address add 172.17.0.1/16 dev docker0");
        run("ip link set lo up");
        run("ip route add 172.18.4.0/24 dev lo scope link");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link delete docker0");
        assert_eq!(subnet(), "172.19.0.0/16");
        // After a reboot.
        run("ip link delete bridge0");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link add vpn type bridge");
        run("ip address add 172.19.0.7/24 dev vpn");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link delete bridge0");
        assert_eq!(subnet(), "172.17.0.0/16");

        // Someone else's bridge has its addresses already.
        host.config.bridge.name = "vpn".to_owned();
        let networks = host.open().unwrap();
        assert_eq!(networks.find("bridge").unwrap().subnet.unwrap().to_string(), "172.19.0.0/24");
        let web = host.connect(&networks, "web", &[]).unwrap().endpoint.interface.unwrap();
        assert_eq!(web.gateway, Ipv4Addr::new(172, 19, 0, 7));
    });
}

#[test]
fn the_host_is_no_router_between_others_unless_it_was_before() {
    for was_router in [false, true] {
        on_a_host(|mut host| {
            let switch = "/proc/sys/net/ipv4/ip_forward";
            std::fs::write(switch, u8::from(was_router).to_string()).unwrap();
            let (left, right) = (host.neighbour_in(8), host.neighbour_in(9));
            serve(&left, 80, "left");
            let is_routed = || inside(&right, || !is_out_of_reach("10.8.0.2:80"));
            assert_eq!(is_routed(), was_router);
            // The second time, forwarding is on in either case.
            for _ in 0..2 {
                let networks = host.open().unwrap();
                assert_eq!(std::fs::read_to_string(switch).unwrap(), "1\n");
                let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
                let web = web.endpoint.netns.unwrap();
                serve(&web, 80, "web");
                inside(&web, || assert_eq!(call("10.8.0.2:80").unwrap(), "left 10.8.0.1"));
                inside(&right, || assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2"));
                assert_eq!(is_routed(), was_router);
            }
            // Another manager's containers are no strangers.
            host.wait(host.open().unwrap().retain(&HashSet::new())).unwrap();
            host.config.bridge.name = "bridge1".to_owned();
            host.config.exec_root.push("other");
            let networks = host.open().unwrap();
            let other = host.connect(&networks, "other", &[tcp("", 8081, 80)]).unwrap();
            let other = other.endpoint.netns.unwrap();
            serve(&other, 80, "other");
            inside(&other, || assert_eq!(call("10.8.0.2:80").unwrap(), "left 10.8.0.1"));
            inside(&right, || assert_eq!(call("10.9.0.1:8081").unwrap(), "other 10.9.0.2"));
        });
    }
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_is_found_and_can_be_opened() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        serve(&neighbour, 80, "neighbour");
        let web = host.connect(&networks, "web", &[]).unwrap().endpoint.netns.unwrap();
        let finding = || {
            let is_it = |finding: &Finding| finding.what == "other firewalls";
            crate::host::check(&host.config).into_iter().find(is_it).unwrap()
        };
        assert_eq!(finding().verdict, Verdict::Good);
        run("nft add table inet own");
        let chain = "{ type filter hook forward priority 0; policy drop; }";
        let add = ["add", "chain", "inet", "own", "closed", chain];
        assert!(Command::new("nft").args(add).status().unwrap().success());
        assert!(inside(&web, || is_out_of_reach("10.9.0.2:80")));
        let found = finding();
        assert_eq!(found.verdict, Verdict::Limited);
        let (_, commands) = found.detail.split_once("let them pass: ").unwrap();
        commands.split(" && ").for_each(run);
        assert_eq!(inside(&web, || call("10.9.0.2:80")).unwrap(), "neighbour 10.9.0.1");
        assert_eq!(finding().verdict, Verdict::Good);
    });
}

#[test]
fn networks_without_interfaces() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let connect = |container: &str, network: &str| {
            let network = network.to_owned();
            host.wait(networks.connect(Connect { network, ..request(container) }))
        };
        assert_eq!(connect("lost", "nowhere").unwrap_err().kind(), Kind::NotFound);
        let shared = connect("shared", "host").unwrap().endpoint;
        assert_eq!((shared.netns, shared.interface), (None, None));
        let alone = connect("alone", "none").unwrap().endpoint;
        let links = inside(&alone.netns.unwrap(), || output("ip -o link show up"));
        assert_eq!(links.lines().count(), 1, "{links}");
        let none = networks.find("none").unwrap();
        assert_eq!((none.driver, none.endpoints.len()), ("null", 1));
        assert_eq!(networks.find(&none.id[..12]).unwrap().name, "none");
        for container in ["shared", "alone"] {
            host.disconnect(&networks, container);
        }
        assert!(host.leftovers().is_empty());
    });
}

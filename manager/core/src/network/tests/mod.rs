//! Networks tried out with real packets, each test on a host of its own.

mod bridge;
mod families;
mod host;
mod ipvlan;
mod isolation;
mod joining;
mod probes;
mod robust;
mod sctp;
mod stacked;
mod vlan;

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;

use host::{
    LOST, PATIENCE, address_of, call, inside, is_out_of_reach, on_a_host, output, request, run,
    serve, serve_udp, tcp, wish,
};

use crate::error::Kind;
use crate::network::{Connect, PortChoice, PortRequest, Protocol, Wish};

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
        serve_udp(&first.sandbox.netns.unwrap(), 53, b"first");
        assert_eq!(ask().unwrap(), b"first");

        // The same client's flow must find the container that has the port next.
        drop(first.reservations);
        host.disconnect(&networks, "first");
        host.connect(&networks, "takes-the-address", &[]).unwrap();
        let second = host.connect(&networks, "second", &ports).unwrap();
        serve_udp(&second.sandbox.netns.unwrap(), 53, b"second");
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
        assert!(networks.sandbox("web").is_none());
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
        assert_eq!(address_of(&other.sandbox), Ipv4Addr::new(172, 17, 0, 3));
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        drop(web);
        assert!(TcpListener::bind("0.0.0.0:8080").is_ok());
    });
}

#[test]
fn ports_are_chosen_from_ranges() {
    on_a_host(|mut host| {
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
        let mut chosen: Vec<_> = web.sandbox.ports.iter().map(|port| port.host_port).collect();
        chosen.dedup();
        assert_eq!(chosen, [8001, 32768, 32771], "the same for IPv4 and IPv6");
        assert!(host.connect(&networks, "other", &[port(range)]).is_err());
        let v6 = PortRequest { host_ip: Some("::1".parse().unwrap()), ..port(range) };
        host.config.passes_on = false;
        let networks = host.open().unwrap();
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
        serve(web.sandbox.netns.as_ref().unwrap(), 80, "web");
        let ids: Vec<_> = networks.list().into_iter().map(|network| network.id).collect();
        drop((networks, gone.reservations));
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");

        let networks = host.open().unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        let again: Vec<_> = networks.list().into_iter().map(|network| network.id).collect();
        assert_eq!(again, ids);
        assert_eq!(*networks.sandbox("web").unwrap(), web.sandbox);
        assert!(host.connect(&networks, "other", &[tcp("", 8080, 80)]).is_err());

        // Before it is known who runs, nothing is taken from anybody.
        let other = host.connect(&networks, "other", &[]).unwrap().sandbox;
        assert_eq!(address_of(&other), Ipv4Addr::new(172, 17, 0, 4));
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
        assert_eq!(address_of(&next.sandbox), Ipv4Addr::new(172, 17, 0, 3));
    });
}

#[test]
fn an_address_is_reached_at_once_by_its_new_owner() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let mac = Some("02:00:00:00:00:01".parse().unwrap());
        let first = host
            .wait(networks.connect(Connect {
                wishes: vec![Wish { mac, ..wish("first", "bridge") }],
                ..request("first")
            }))
            .unwrap();
        serve(&first.sandbox.netns.unwrap(), 80, "first");
        assert_eq!(call("172.17.0.2:80").unwrap(), "first 172.17.0.1");
        host.disconnect(&networks, "first");
        let second = host.connect(&networks, "second", &[]).unwrap().sandbox;
        assert_eq!(address_of(&second), Ipv4Addr::new(172, 17, 0, 2));
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
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap().sandbox;
        assert_eq!(address_of(&web), Ipv4Addr::new(172, 17, 0, 2));
    });
}

#[test]
fn what_others_delete_is_made_again() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        serve(&web.sandbox.netns.unwrap(), 80, "web");
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
fn networks_without_interfaces() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let connect = |container: &str, network: &str| {
            let wishes = vec![wish(container, network)];
            host.wait(networks.connect(Connect { wishes, ..request(container) }))
        };
        assert_eq!(connect("lost", "nowhere").unwrap_err().kind(), Kind::NotFound);
        let shared = connect("shared", "host").unwrap().sandbox;
        assert_eq!((shared.netns, shared.endpoints[0].interface.clone()), (None, None));
        let alone = connect("alone", "none").unwrap().sandbox;
        let links = inside(&alone.netns.unwrap(), || output("ip -o link show up"));
        assert_eq!(links.lines().count(), 1, "{links}");
        let none = networks.find("none").unwrap();
        assert_eq!((none.driver, networks.endpoints_on(&none.id).len()), ("null", 1));
        assert_eq!(networks.find(&none.id[..12]).unwrap().name, "none");
        for container in ["shared", "alone"] {
            host.disconnect(&networks, container);
        }
        assert!(host.leftovers().is_empty());
    });
}

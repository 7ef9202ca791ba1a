//! Networks that users make: several per container, joined and left while it runs.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;

use super::host::{
    Host, PATIENCE, call, inside, is_out_of_reach, on_a_host, output, request, run, serve, tcp,
    wish,
};
use crate::error::Kind;
use crate::network::{Connect, Connected, Ipam, Networks, NewNetwork, Pool, Sandbox, Wish};

fn make(host: &Host, networks: &Arc<Networks>, name: &str) -> String {
    let new = NewNetwork { name: name.to_owned(), ..NewNetwork::default() };
    host.wait(networks.create(new)).unwrap()
}

fn connect(host: &Host, networks: &Arc<Networks>, container: &str, on: &[&str]) -> Connected {
    let wishes = on.iter().map(|network| wish(container, network)).collect();
    host.wait(networks.connect(Connect { wishes, ..request(container) })).unwrap()
}

fn address(sandbox: &Sandbox, network: &str) -> Ipv4Addr {
    let endpoint = sandbox.endpoints.iter().find(|endpoint| endpoint.network == network).unwrap();
    let assigned = endpoint.interface.as_ref().unwrap().ipv4.unwrap();
    match assigned.address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address}"),
    }
}

/// A question for the addresses of `name`, and whether an answer has this one at its end.
fn resolves(sandbox: &Sandbox, name: &str, to: Ipv4Addr) -> bool {
    let mut question = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    question.extend(name.as_bytes());
    question.extend([0, 0, 1, 0, 1]);
    inside(sandbox.netns.as_ref().unwrap(), || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&question, "127.0.0.11:53").unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).unwrap();
        answer[..length].ends_with(&to.octets())
    })
}

#[test]
fn networks_are_apart_and_their_names_too() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        make(&host, &networks, "front");
        make(&host, &networks, "back");
        let web = connect(&host, &networks, "web", &["front"]).sandbox;
        let both = connect(&host, &networks, "both", &["front", "back"]).sandbox;
        let db = connect(&host, &networks, "db", &["back"]).sandbox;
        serve(db.netns.as_ref().unwrap(), 80, "db");
        let there = address(&db, "back");
        assert!(resolves(&both, "db", there) && !resolves(&web, "db", there));
        assert!(resolves(&db, "both", address(&both, "back")));
        assert!(resolves(&web, "both", address(&both, "front")));
        let place = format!("{there}:80");
        assert!(inside(both.netns.as_ref().unwrap(), || call(&place)).is_some());
        assert!(inside(web.netns.as_ref().unwrap(), || is_out_of_reach(&place)));
        for container in ["web", "both", "db"] {
            host.disconnect(&networks, container);
        }
        assert!(!host.config.names_socket().exists(), "nobody needs names any more");
        for network in ["front", "back"] {
            host.wait(networks.remove(network)).unwrap();
        }
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        assert!(!output("ip -o link").contains("br-"));
        assert!(!output("nft list ruleset").contains("br-"));
    });
}

#[test]
fn one_that_runs_joins_and_leaves() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let back = make(&host, &networks, "back");
        let db = connect(&host, &networks, "db", &["back"]).sandbox;
        host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let join = |wish: Wish| host.wait(networks.join("web", "web", wish));
        let web = join(wish("web", "back")).unwrap();
        serve(web.netns.as_ref().unwrap(), 80, "web");
        assert!(resolves(&web, "db", address(&db, "back")));
        assert!(resolves(&db, "web", address(&web, "back")));
        assert_eq!(web.way_out().unwrap().network, "back", "the first by name");
        assert!(call("127.0.0.1:8080").is_some(), "the port has moved");
        let again = join(wish("web", "back")).unwrap_err();
        assert_eq!(again.kind(), Kind::Forbidden, "{again}");

        let in_use = host.wait(networks.remove("back")).unwrap_err();
        assert_eq!(in_use.kind(), Kind::Forbidden, "{in_use}");
        let web = host.wait(networks.leave("web", &back)).unwrap();
        assert!(call("127.0.0.1:8080").is_some(), "the port is back");
        assert!(!resolves(&db, "web", Ipv4Addr::new(172, 18, 0, 3)));
        let links = inside(web.netns.as_ref().unwrap(), || output("ip -o link"));
        assert!(links.contains("eth0") && !links.contains("eth1"), "{links}");
        assert!(host.wait(networks.leave("web", &back)).is_err());
    });
}

#[test]
fn the_next_manager_has_the_same_networks() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let subnet = "10.7.0.0/24".parse().unwrap();
        let ipam = Ipam { pools: vec![Pool::of(subnet)], ..Ipam::default() };
        let new = NewNetwork { name: "mine".to_owned(), ipam, ..NewNetwork::default() };
        let id = host.wait(networks.create(new.clone())).unwrap();
        let taken = host.wait(networks.create(NewNetwork { name: "other".to_owned(), ..new }));
        assert_eq!(taken.unwrap_err().kind(), Kind::Forbidden);
        let fixed = Some(Ipv4Addr::new(10, 7, 0, 9));
        let wishes = vec![Wish { ipv4: fixed, ..wish("web", "mine") }];
        let web = host.wait(networks.connect(Connect { wishes, ..request("web") })).unwrap();
        drop(networks);

        let networks = host.open().unwrap();
        assert_eq!(networks.id_of("mine").unwrap(), id);
        assert_eq!(*networks.sandbox("web").unwrap(), web.sandbox);
        let other = connect(&host, &networks, "other", &["mine"]).sandbox;
        assert!(resolves(&other, "web", Ipv4Addr::new(10, 7, 0, 9)));
        assert!(resolves(&web.sandbox, "other", address(&other, "mine")));
        let wishes = vec![Wish { ipv4: fixed, ..wish("third", "mine") }];
        let third = host.wait(networks.connect(Connect { wishes, ..request("third") }));
        assert_eq!(third.unwrap_err().kind(), Kind::Forbidden, "it is taken");
        let running = HashSet::from(["web".to_owned(), "other".to_owned()]);
        host.wait(networks.retain(&running)).unwrap();
        assert!(resolves(&other, "web", Ipv4Addr::new(10, 7, 0, 9)));
    });
}

#[test]
fn a_bridge_that_someone_else_has_made_stays() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        run("ip link add theirs type bridge");
        run("ip address add 10.8.0.1/24 dev theirs");
        let subnet = "10.8.0.0/24".parse().unwrap();
        let ipam = Ipam { pools: vec![Pool::of(subnet)], ..Ipam::default() };
        let options = [("com.docker.network.bridge.name".to_owned(), "theirs".to_owned())].into();
        let name = "borrowed".to_owned();
        let new = NewNetwork { name, ipam, options, ..NewNetwork::default() };
        host.wait(networks.create(new)).unwrap();
        connect(&host, &networks, "web", &["borrowed"]);
        host.disconnect(&networks, "web");
        host.wait(networks.remove("borrowed")).unwrap();
        assert!(output("ip -o link").contains("theirs"));
    });
}

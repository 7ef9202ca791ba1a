//! What is used up, and what somebody has deleted by hand.

use std::fs::write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::host::{
    Host, call, inside, is_out_of_reach, on_a_host, output, request, run, serve, tcp, wish,
};
use crate::error::{Kind, Result};
use crate::network::{
    Connect, Connected, Ipam, Networks, NewNetwork, Pool, PortChoice, PortRequest, Protocol,
};

fn connect_to(
    host: &Host,
    networks: &Arc<Networks>,
    container: &str,
    network: &str,
) -> Result<Connected> {
    let wishes = vec![wish(container, network)];
    host.wait(networks.connect(Connect { wishes, ..request(container) }))
}

#[test]
fn a_small_subnet_is_used_up_and_then_again() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let pools = vec![Pool::of("10.5.0.0/29".parse().unwrap())];
        let ipam = Ipam { pools, ..Ipam::default() };
        let new = NewNetwork { name: "small".to_owned(), ipam, ..NewNetwork::default() };
        host.wait(networks.create(new)).unwrap();
        for number in 0..5 {
            connect_to(&host, &networks, &format!("c{number}"), "small").unwrap();
        }
        let before = host.leftovers();
        let error = connect_to(&host, &networks, "more", "small").unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().contains("10.5.0.0/29"), "{error}");
        assert_eq!(host.leftovers(), before);
        host.disconnect(&networks, "c3");
        connect_to(&host, &networks, "more", "small").unwrap();
    });
}

#[test]
fn free_ports_are_used_up_and_then_again() {
    on_a_host(|host| {
        write("/proc/sys/net/ipv4/ip_local_port_range", "50000\t50003").unwrap();
        let networks = host.open().unwrap();
        let free = PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: None,
            host_port: PortChoice::Ephemeral,
        };
        let first = host.connect(&networks, "first", &[free.clone(), free.clone(), free.clone()]);
        let first = first.unwrap();
        let before = host.leftovers();
        let error = host.connect(&networks, "second", &[free.clone(), free.clone()]).unwrap_err();
        assert!(error.to_string().contains("all ports are allocated"), "{error}");
        assert_eq!(host.leftovers(), before);
        host.connect(&networks, "second", std::slice::from_ref(&free)).unwrap();
        drop(first.reservations);
        host.disconnect(&networks, "first");
        host.connect(&networks, "third", &[free.clone(), free.clone(), free]).unwrap();
    });
}

#[test]
fn a_bridge_that_is_full_says_so_before_anything_is_made() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        // The kernel gives a bridge 1,023 ports at the most.
        let script: String = (0..1023)
            .map(|number| format!("link add full{number} type veth peer name end{number}\nlink set full{number} master bridge0\n"))
            .collect();
        let mut ip =
            Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut ip.stdin.take().unwrap(), script.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
        let error = host.connect(&networks, "more", &[tcp("", 8080, 80)]).unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert!(error.to_string().contains("1023"), "{error}");
        assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
        run("ip link delete full7");
        host.connect(&networks, "more", &[tcp("", 8080, 80)]).unwrap();
    });
}

#[test]
fn what_somebody_deletes_is_mended_by_the_next_manager_or_start() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap().sandbox;
        let netns = web.netns.clone().unwrap();
        serve(&netns, 80, "web");
        let cable = web.endpoints[0].interface.as_ref().unwrap().host_name.clone();

        // The bridge: the next manager makes it and plugs containers in again.
        run("ip link delete bridge0");
        assert!(is_out_of_reach("127.0.0.1:8080"));
        drop(networks);
        let networks = host.open().unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        // So does the next container.
        run("ip link delete bridge0");
        let other = host.connect(&networks, "other", &[]).unwrap().sandbox.netns.unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        inside(&other, || assert_eq!(call("172.17.0.2:80").unwrap(), "web 172.17.0.3"));

        // Its place on the bridge.
        run(&format!("ip link set {cable} nomaster"));
        drop(networks);
        let networks = host.open().unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");

        // Its interface.
        run(&format!("ip link delete {cable}"));
        drop(networks);
        let networks = host.open().unwrap();
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        inside(&netns, || assert!(output("ip route").contains("default via 172.17.0.1")));

        // Its interface, and what holds its namespace: its next start makes both.
        run(&format!("ip link delete {cable}"));
        let taken = std::path::Path::new(&netns);
        rustix::mount::unmount(taken, rustix::mount::UnmountFlags::DETACH).unwrap();
        let new = NewNetwork { name: "mine".to_owned(), ..NewNetwork::default() };
        host.wait(networks.create(new)).unwrap();
        let error = host.wait(networks.join("web", "web", wish("web", "mine"))).unwrap_err();
        assert!(error.to_string().contains("start the container anew"), "{error}");
        host.disconnect(&networks, "web");
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap().sandbox;
        serve(web.netns.as_ref().unwrap(), 80, "again");
        assert_eq!(call("127.0.0.1:8080").unwrap(), "again 172.17.0.1");
    });
}

/// All that others have on a host: links, addresses, routes, rules, neighbours, their rules of the
/// packet filter, and settings of their interfaces.
fn things_of_others() -> String {
    let mut things = String::new();
    for link in ["eth0", "docker0", "br-0123456789ab", "veth1234567", "lo"] {
        things += &output(&format!("ip link show {link}"));
        things += &output(&format!("ip -4 address show {link}"));
        things += &output(&format!("ip -4 route show table all dev {link}"));
        for family in ["ipv4", "ipv6"] {
            let settings = format!("/proc/sys/net/{family}/conf/{link}");
            for setting in std::fs::read_dir(settings).unwrap() {
                let path = setting.unwrap().path();
                let value = std::fs::read_to_string(&path).unwrap_or_default();
                things += &format!("{} {value}", path.display());
            }
        }
    }
    things += &output("ip rule");
    things += &output("nft -s list table ip filter");
    things
}

#[test]
fn the_hosts_own_things_are_never_touched() {
    on_a_host(|mut host| {
        write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        for command in [
            "ip link add eth0 type veth peer name wire",
            "ip address add 192.168.77.5/24 dev eth0",
            "ip link set wire up",
            "ip link set eth0 up",
            "ip route add default via 192.168.77.1",
            "ip rule add from 192.168.77.0/24 lookup 77",
            "ip route add 10.200.0.0/16 via 192.168.77.2 table 77",
            "ip link add docker0 type bridge",
            "ip address add 172.17.0.1/16 dev docker0",
            "ip link set docker0 up",
            "ip link add br-0123456789ab type bridge",
            "ip link add veth1234567 type veth peer name veth7654321",
            "ip link set veth1234567 master docker0",
            "nft add table ip filter",
            "nft add chain ip filter DOCKER",
            "nft add rule ip filter DOCKER counter",
        ] {
            run(command);
        }
        let before = things_of_others();
        let first = host.open().unwrap();
        let web = host.connect(&first, "web", &[tcp("", 8080, 80)]).unwrap();
        let new = NewNetwork { name: "mine".to_owned(), ..NewNetwork::default() };
        host.wait(first.create(new)).unwrap();
        connect_to(&host, &first, "other", "mine").unwrap();
        serve(web.sandbox.netns.as_ref().unwrap(), 80, "web");
        assert_eq!(call("192.168.77.5:8080").unwrap(), "web 192.168.77.5");
        assert_eq!(things_of_others(), before);
        let ours = || {
            (output("ip -o address show bridge0"), output("nft -s list table inet tare-bridge0"))
        };
        let of_the_first = ours();

        // Another manager is one more of those others.
        let own = host.config.clone();
        host.config.bridge.name = "bridge1".to_owned();
        host.config.exec_root.push("second");
        host.config.data_root.push("second");
        let second = host.open().unwrap();
        host.connect(&second, "second", &[tcp("", 8081, 80)]).unwrap();
        host.wait(second.retain(&Default::default())).unwrap();
        assert_eq!(things_of_others(), before);
        assert_eq!(ours(), of_the_first);
        assert_eq!(call("127.0.0.1:8080").unwrap(), "web 172.18.0.1");

        host.config = own;
        host.disconnect(&first, "web");
        host.disconnect(&first, "other");
        host.wait(first.remove("mine")).unwrap();
        host.wait(first.retain(&Default::default())).unwrap();
        assert_eq!(things_of_others(), before);
    });
}

//! Who reaches whom: published ports from everywhere, and nothing else, whatever others do to the
//! host's packet filter.

use std::collections::HashSet;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::host::{call, inside, is_out_of_reach, on_a_host, output, run, serve, tcp};
use crate::host::{Finding, Verdict};

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
        let (web, other) = (web.sandbox.netns.unwrap(), other.sandbox.netns.unwrap());
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
fn laying_the_rules_anew_opens_nothing_and_closes_nothing() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let mapped = [tcp("", 8080, 80), tcp("127.0.0.1", 8081, 80), tcp("10.9.0.1", 8082, 80)];
        let web = host.connect(&networks, "web", &mapped).unwrap().sandbox.netns.unwrap();
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
        let container = host.connect(&networks, "hostile", &[]).unwrap().sandbox.netns.unwrap();
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
fn a_firewall_reload_does_not_drop_isolation() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let web = host.connect(&networks, "web", &[tcp("", 8080, 80)]).unwrap();
        let web = web.sandbox.netns.unwrap();
        serve(&web, 80, "web");
        serve(&web, 83, "web");
        let tables = || output("nft -a list tables");
        let is_there = || tables().contains("tare-bridge0");
        let rules = host.config.exec_root.join("rules");
        std::fs::write(&rules, "flush ruleset\ntable inet mine\n").unwrap();
        let reload = format!("nft -f {}", rules.display());
        for reload in [&reload, "nft flush ruleset", "nft delete table inet tare-bridge0", &reload]
        {
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
                let web = web.sandbox.netns.unwrap();
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
            let other = other.sandbox.netns.unwrap();
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
        let web = host.connect(&networks, "web", &[]).unwrap().sandbox.netns.unwrap();
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

//! Names: who answers what a container asks, whom it asks in turn, and that it goes on.

use rustix::process::Signal;
use tare_integration::dns::{self, ask};
use tare_integration::in_place::InPlace;
use tare_integration::wait::until_true;
use tare_integration::{Host, Running, on_host, peer};

/// Somebody who is there and does nothing.
const REST: &str = "busybox sleep 1000";

/// The host's name server is a stub on its loopback, as systemd has it.
fn with_stub(host: &Host) -> (Running, InPlace<'_>) {
    let settings = dns::configure(host, "nameserver 127.0.0.53\n");
    (dns::serve(host, "127.0.0.53", "stub", &[]), settings)
}

#[test]
fn what_no_container_is_called_is_asked_of_the_hosts_servers() {
    on_host(|host| {
        let _stub = with_stub(host);
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name web --network front {REST}")).ok();
        let asked = |typed: &str| ask(host, "web", typed);
        assert_eq!(asked("one.test. A"), "NoError 1\none.test. 192.0.2.1\n");
        assert_eq!(asked("oNe.TEst. A"), "NoError 1\noNe.TEst. 192.0.2.1\n");
        assert_eq!(asked("one.test. AAAA"), "NoError 1\none.test. 2001:db8::1\n");
        let reversed = "1.2.0.192.in-addr.arpa.";
        assert_eq!(asked(&format!("{reversed} PTR")), format!("NoError 1\n{reversed} one.test.\n"));
        assert_eq!(asked("nothing.test. A"), "NXDomain 0\n");
        // What is too long for a datagram comes on a connection.
        assert_eq!(asked("many.test. A"), "NoError truncated 0\n");
        assert!(asked("many.test. A tcp").starts_with("NoError 250\n"));
        // Options go there and back.
        assert!(asked("edns.test. TXT").contains("no edns"));
        let options = asked("edns.test. TXT edns");
        assert!(options.contains("edns 1300") && options.contains("edns 1400"), "{options}");
        // Who forges answers is not believed.
        assert_eq!(asked("spoofed.test. A"), "NoError 1\nspoofed.test. 192.0.2.1\n");
    });
}

#[test]
fn what_a_container_is_called_is_known_here() {
    on_host(|host| {
        let (stub, _settings) = with_stub(host);
        host.docker("network create --subnet 10.44.0.0/24 front").ok();
        host.docker("network create --subnet 10.45.0.0/24 back").ok();
        let fixed = "--network front --ip 10.44.0.50 --network-alias www.example.org -h box";
        host.docker(&format!("run -d --name web {fixed} {REST}")).ok();
        host.docker("network connect --ip 10.45.0.50 --alias other back web").ok();
        host.docker(&format!("run -d --name asker --network front --link web:mine {REST}")).ok();
        host.docker("network connect back asker").ok();
        let asked = |typed: &str| ask(host, "asker", typed);
        let address = |name: &str| asked(&format!("{name}. A"));
        // What both networks have is told of the one that leads out.
        for name in ["web", "wEB", "box", "other", "web.back", "other.back"] {
            assert_eq!(address(name), format!("NoError 1\n{name}. 10.45.0.50\n"));
        }
        for name in ["mine", "www.example.org", "web.front", "www.example.org.front"] {
            assert_eq!(address(name), format!("NoError 1\n{name}. 10.44.0.50\n"));
        }
        for name in ["other.front", "mine.back", "web.nowhere"] {
            assert_eq!(address(name), "NXDomain 0\n", "{name}");
        }
        for (reversed, name) in [("50.0.44.10", "web.front."), ("50.0.45.10", "web.back.")] {
            let reversed = format!("{reversed}.in-addr.arpa.");
            let told = asked(&format!("{reversed} PTR"));
            assert_eq!(told, format!("NoError 1\n{reversed} {name}\n"));
        }
        // It has no such address, and mail goes to the one that it has; nobody else is asked.
        assert_eq!(asked("web. AAAA"), "NoError 0\n");
        assert_eq!(asked("web. MX"), "NoError 0\n");
        assert!(!stub.stdout().contains("web. AAAA") && !stub.stdout().contains("web. A"));
        // Of the rest others may know more, but not that the name is not there.
        assert!(asked("web. TXT").contains("of another web"));
        assert_eq!(asked("www.example.org. SRV"), "NoError 0\n");
        assert!(stub.stdout().contains("www.example.org. SRV"));
    });
}

#[test]
fn who_has_one_name_takes_turns() {
    on_host(|host| {
        host.docker("network create front").ok();
        for number in 1..=3 {
            let named = format!("--name web-{number} --network front --network-alias web");
            host.docker(&format!("run -d {named} {REST}")).ok();
        }
        let first = || ask(host, "web-1", "web. A").lines().nth(1).map(str::to_owned);
        assert!(ask(host, "web-1", "web. A").starts_with("NoError 3\n"));
        let before = first();
        until_true("another first", || first() != before);
        host.docker("rm -f web-2").ok();
        assert!(ask(host, "web-1", "web. A").starts_with("NoError 2\n"));
    });
}

#[test]
fn a_server_that_is_silent_holds_nobody_up_for_long() {
    on_host(|host| {
        let settings = "nameserver 127.0.0.54\nnameserver 127.0.0.55\nnameserver 127.0.0.53\n";
        let _settings = dns::configure(host, settings);
        let _good = dns::serve(host, "127.0.0.53", "good", &[]);
        let silent = dns::serve(host, "127.0.0.54", "bad", &["silent"]);
        let _failing = dns::serve(host, "127.0.0.55", "bad", &["failing"]);
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name asker --network front {REST}")).ok();
        for _ in 0..3 {
            assert!(ask(host, "asker", "server.test. TXT").contains("good"));
        }
        if peer::is_tared("a server that did not answer is asked last") {
            assert_eq!(silent.stdout().matches("server.test.").count(), 1);
        }
    });
}

#[test]
fn servers_of_a_container_are_asked_from_where_it_is() {
    on_host(|host| {
        let (stub, _settings) = with_stub(host);
        let _host = dns::serve(host, "127.0.0.1", "host", &[]);
        host.docker("network create --internal --subnet 10.44.0.0/24 inner").ok();
        host.docker("network create front").ok();
        let run = |named: &str| {
            host.docker(&format!("run -d {named} {REST}")).ok();
        };
        run("--name self --network front --dns 127.0.0.1");
        let _inside = dns::serve_inside(host, "self", "127.0.0.1", "inside");
        assert!(ask(host, "self", "server.test. TXT").contains("inside"));
        assert!(ask(host, "self", "server.test. TXT tcp").contains("inside"));
        // On an internal network, the host's servers are out of reach, and one of it is not.
        run("--name server --network inner --ip 10.44.0.53");
        let _near = dns::serve_inside(host, "server", "10.44.0.53", "near");
        run("--name lost --network inner");
        assert_eq!(ask(host, "lost", "one.test. A"), "ServFail 0\n");
        assert!(ask(host, "lost", "server. A").contains("10.44.0.53"));
        run("--name found --network inner --dns 10.44.0.53");
        assert!(ask(host, "found", "server.test. TXT").contains("near"));
        assert!(!stub.stdout().contains("test."), "{}", stub.stdout());
    });
}

#[test]
fn a_single_word_stays_here_where_search_domains_come_first() {
    on_host(|host| {
        let (stub, _settings) = with_stub(host);
        host.docker("network create front").ok();
        let run = |named: &str| {
            host.docker(&format!("run -d {named} --network front {REST}")).ok();
        };
        run("--name plain");
        run("--name searching --dns-search test --dns-option ndots:1");
        assert_eq!(ask(host, "plain", "word. A"), "NXDomain 0\n");
        assert_eq!(ask(host, "searching", "other. A"), "NoError 0\n");
        let asked = stub.stdout();
        assert!(asked.contains(" word. A") && !asked.contains(" other. A"), "{asked}");
        host.docker("exec searching nslookup -type=a one").stdout_has("192.0.2.1");
        host.docker("exec searching nslookup -type=a plain").stdout_has("plain");
    });
}

#[test]
fn names_are_there_as_soon_as_a_container_is() {
    on_host(|host| {
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name web --network front {REST}")).ok();
        for number in 1..=5 {
            let named = format!("late-{number}");
            let first = "busybox sh -c 'nslookup -type=a web && exec sleep 1000'";
            host.docker(&format!("run -d --name {named} --network front {first}")).ok();
            // At the first try, and nobody tries again.
            assert!(ask(host, "web", &format!("{named}. A")).starts_with("NoError 1\n"));
            host.docker(&format!("restart -t 0 {named}")).ok();
            assert!(ask(host, "web", &format!("{named}. A")).starts_with("NoError 1\n"));
            let asked = || host.docker(&format!("logs {named}")).stdout;
            until_true("what it was told", || asked().matches("Name:\tweb").count() == 2);
        }
    });
}

/// The process that answers.
fn resolvers(host: &Host) -> Vec<String> {
    let found = host.run("pgrep", &["-f", "^tared-names"]);
    found.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn nonsense_and_floods_are_borne() {
    if !peer::is_tared("a process for names") {
        return;
    }
    on_host(|host| {
        let _settings = dns::configure(host, "nameserver 127.0.0.54\n");
        let _silent = dns::serve(host, "127.0.0.54", "silent", &["silent"]);
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name web --network front {REST}")).ok();
        host.docker(&format!("run -d --name evil --network front {REST}")).ok();
        let before = resolvers(host);
        let [process] = before.as_slice() else { panic!("{before:?}") };
        for _ in 0..3 {
            dns::inside(host, "evil", "garbage 127.0.0.11 20000").ok();
            dns::inside(host, "evil", "flood 127.0.0.11 nobody.test. 20000").ok();
            // Others are not kept waiting, and who asked too much is told so.
            assert!(ask(host, "web", "evil. A").starts_with("NoError 1\n"));
        }
        assert!(ask(host, "evil", "web. A").starts_with("NoError 1\n"));
        assert_eq!(resolvers(host), before);
        let status = host.outside(format!("/proc/{process}/status").as_ref());
        let status = std::fs::read_to_string(status).expect("look at the process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.and_then(|text| text.trim().parse().ok()).expect("a size");
        assert!(kilobytes < 64 << 10, "{kilobytes} kB");
    });
}

#[test]
fn another_program_takes_over_and_no_question_is_lost() {
    if !peer::is_tared("a process for names") {
        return;
    }
    on_host(|host| {
        let _stub = with_stub(host);
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name web --network front {REST}")).ok();
        let own = "--network front --dns 127.0.0.1";
        host.docker(&format!("run -d --name asker {own} {REST}")).ok();
        let _inside = dns::serve_inside(host, "asker", "127.0.0.1", "inside");
        let mut watching = [("asker", "web."), ("asker", "one.test."), ("web", "one.test.")]
            .map(|(container, name)| dns::watch(host, container, name));
        let answers = |watching: &[Running]| -> Vec<usize> {
            watching.iter().map(|one| one.stdout().lines().count()).collect()
        };
        let go_on = |watching: &[Running]| {
            let before = answers(watching);
            until_true("more answers", || {
                answers(watching).iter().zip(&before).all(|(now, then)| *now > then + 50)
            });
        };
        go_on(&watching);
        let before = resolvers(host);
        host.end_daemon(Signal::TERM);
        let _program = InPlace::copy_of(host, "tared");
        host.start_daemon();
        go_on(&watching);
        until_true("the older one's end", || {
            let now = resolvers(host);
            now.len() == 1 && now != before
        });
        go_on(&watching);
        assert!(watching.iter_mut().all(Running::is_running));
        // The same program is left alone.
        let after = resolvers(host);
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        assert_eq!(resolvers(host), after);
        host.docker("rm -f web asker").ok();
        until_true("the end of all", || resolvers(host).is_empty());
    });
}

#[test]
fn names_have_addresses_of_both_kinds() {
    on_host(|host| {
        let _settings = dns::configure(host, "nameserver ::1\n");
        let _stub = dns::serve(host, "::1", "stub", &[]);
        let subnets = "--subnet 10.44.0.0/24 --subnet fd00:44::/64";
        host.docker(&format!("network create --ipv6 {subnets} front")).ok();
        let alone = "--ipv4=false --ipv6 --subnet fd00:45::/64";
        host.docker(&format!("network create {alone} six")).ok();
        let fixed = "--network front --ip 10.44.0.50 --ip6 fd00:44::50";
        host.docker(&format!("run -d --name web {fixed} {REST}")).ok();
        host.docker(&format!("run -d --name new --network six --ip6 fd00:45::50 {REST}")).ok();
        host.docker(&format!("run -d --name asker --network six {REST}")).ok();
        host.docker("network connect front asker").ok();
        let asked = |typed: &str| ask(host, "asker", typed);
        assert_eq!(asked("web. A"), "NoError 1\nweb. 10.44.0.50\n");
        assert_eq!(asked("web. AAAA"), "NoError 1\nweb. fd00:44::50\n");
        assert_eq!(asked("new. AAAA"), "NoError 1\nnew. fd00:45::50\n");
        assert_eq!(asked("new. A"), "NoError 0\n");
        for (network, name) in [("4.4.0.0", "web.front."), ("5.4.0.0", "new.six.")] {
            let zeros = "0.".repeat(20);
            let reversed = format!("0.5.0.0.{zeros}{network}.0.0.d.f.ip6.arpa.");
            assert_eq!(
                asked(&format!("{reversed} PTR")),
                format!("NoError 1\n{reversed} {name}\n")
            );
        }
        assert_eq!(asked("one.test. AAAA"), "NoError 1\none.test. 2001:db8::1\n");
        // Servers of its own may be at such addresses, too.
        let _near = dns::serve_inside(host, "web", "fd00:44::50", "near");
        let own = "--network front --dns fd00:44::50";
        host.docker(&format!("run -d --name found {own} {REST}")).ok();
        assert!(ask(host, "found", "server.test. TXT").contains("near"));
        assert!(ask(host, "found", "server.test. TXT tcp").contains("near"));
        host.docker("exec web cat /etc/hosts")
            .stdout_has("\n10.44.0.50\t")
            .stdout_has("\nfd00:44::50\t");
    });
}

#[test]
fn who_answers_is_started_again_however_it_ends() {
    if !peer::is_tared("a process for names") {
        return;
    }
    on_host(|host| {
        host.docker("network create front").ok();
        let own = "--network front --dns 127.0.0.1";
        host.docker(&format!("run -d --name web {own} {REST}")).ok();
        let _inside = dns::serve_inside(host, "web", "127.0.0.1", "inside");
        let answers = || {
            ["web. A", "server.test. TXT"].iter().all(|typed| {
                let asked = dns::inside(host, "web", &format!("ask {} {typed}", dns::OWN));
                asked.code == 0 && asked.stdout.starts_with("NoError 1\n")
            })
        };
        assert!(answers());
        let kill = |names: &str| {
            let found = host.run("pgrep", &["-f", names]).ok().trim().to_owned();
            host.run("kill", &["-9", &found]).ok();
            found
        };
        // The one beside it; what is known here is answered meanwhile.
        kill("^tared-sockets");
        assert!(ask(host, "web", "web. A").starts_with("NoError 1\n"));
        until_true("all answers again", answers);
        kill("^tared-names");
        until_true("answers of another", answers);
        // While nobody is there to start another, there is none.
        host.end_daemon(Signal::KILL);
        let last = kill("^tared-names");
        host.start_daemon();
        assert!(answers());
        assert!(!resolvers(host).contains(&last));
        // Nor is it noticed any less what becomes of those that an earlier daemon has started.
        host.renew_daemon();
        kill("^tared-sockets");
        until_true("all answers at last", answers);
    });
}

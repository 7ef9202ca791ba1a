//! Containers on an interface of the host, as hosts of their own on its wire.

use rustix::process::Signal;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

/// A web server for as long as the container runs; its page is one word.
const SERVER: &str =
    "busybox sh -c 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www -p 80'";

/// What a command says on this machine, which must succeed.
#[track_caller]
fn ip(host: &Host, typed: &str) -> String {
    let words: Vec<_> = typed.split_whitespace().collect();
    host.run("ip", &words).ok().to_owned()
}

/// A cable of the machine's; at its other end is somebody else, 10.55.0.254, in a namespace that a
/// container holds: `router`.
fn lay_wire(host: &Host) {
    host.docker("run -d --name router --network none --cap-add NET_ADMIN busybox sleep 100000")
        .ok();
    let pid = host.inspect("router", "{{.State.Pid}}");
    ip(host, "link add wire type veth peer name end");
    ip(host, "link set wire up");
    ip(host, &format!("link set end netns /proc/{pid}/ns/net"));
    host.docker("exec router ip address add 10.55.0.254/24 dev end").ok();
    host.docker("exec router ip link set end up").ok();
}

fn gets(host: &Host, container: &str, server: &str) -> bool {
    let wget = format!("exec {container} timeout 3 wget -qO- http://{server}/");
    host.docker(&wget).stdout == "page\n"
}

#[test]
fn macvlan_containers_are_neighbours_of_the_host() {
    on_host(|host| {
        lay_wire(host);
        let wire = || ip(host, "link show wire") + &ip(host, "-4 address show wire");
        let before = wire();
        let make = "network create -d macvlan --subnet 10.55.0.0/24 --gateway 10.55.0.254 \
                    --aux-address host=10.55.0.1 --ip-range 10.55.0.0/28 -o parent=wire lan";
        host.docker(make).ok();
        let shown = host.docker("network inspect lan").ok().to_owned();
        for part in [
            "\"Driver\": \"macvlan\"",
            "\"Gateway\": \"10.55.0.254\"",
            "\"host\": \"10.55.0.1\"",
            "\"parent\": \"wire\"",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        host.docker("network ls --filter driver=macvlan").stdout_has("lan");

        let mac = "--mac-address 02:00:00:00:00:77 --ip 10.55.0.77";
        host.docker(&format!("run -d --name web --network lan -p 8080:80 {mac} {SERVER}")).ok();
        host.docker("run -d --name asker --network lan busybox sleep 100000").ok();
        until_true("the page by name", || gets(host, "asker", "web"));
        assert!(gets(host, "router", "10.55.0.77"), "others on the wire reach it");
        assert_eq!(host.fetch("http://10.55.0.77/"), "", "the host does not");
        let of = |what: &str| {
            host.inspect("web", &format!("{{{{.NetworkSettings.Networks.lan.{what}}}}}"))
        };
        assert_eq!(of("IPAddress"), "10.55.0.77");
        assert_eq!(of("Gateway"), "10.55.0.254");
        assert_eq!(of("MacAddress"), "02:00:00:00:00:77");
        assert_eq!(host.inspect("web", "{{json .NetworkSettings.Ports}}"), "{}");
        host.docker("exec asker ip route").stdout_has("default via 10.55.0.254 dev eth0");
        assert_eq!(
            host.inspect("asker", "{{.NetworkSettings.Networks.lan.IPAddress}}"),
            "10.55.0.2"
        );

        // It goes on without the daemon, and the next one knows of it.
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        assert!(gets(host, "asker", "web") && gets(host, "router", "10.55.0.77"));
        host.docker("network rm lan").code(1).stderr_has("has active endpoints");
        host.docker("network disconnect lan asker").ok();
        assert!(!host.docker("exec asker ip -o link").ok().contains("eth0"));
        host.docker("network connect --ip 10.55.0.9 lan asker").ok();
        assert!(gets(host, "asker", "web"));
        host.docker("restart -t 0 web").ok();
        until_true("the page by name", || gets(host, "asker", "web"));
        host.docker("rm -f web asker").ok();
        host.docker("network rm lan").ok();
        assert_eq!(wire(), before);
        host.docker("rm -f router").ok();
    });
}

#[test]
fn what_cannot_be_stacked_is_refused_in_dockers_words() {
    on_host(|host| {
        let refused = |typed: &str, words: &str| {
            host.docker(&format!("network create {typed} n")).code(1).stderr_has(words);
        };
        refused("-d macvlan -o parent=lo", "loopback interface is not a valid macvlan parent link");
        refused("-d macvlan -o parent=nope", "example formatting is eth0.10");
        refused(
            "-d macvlan -o parent=nope.7",
            "-o parent interface was not found on the host: nope",
        );
        refused("-d macvlan -o macvlan_mode=x", "'bridge' mode is the macvlan driver default");
        refused("-d ipvlan -o ipvlan_mode=x", "'l2' mode is the ipvlan driver default");
        refused("-d null", "only one instance of \"null\" network is allowed");

        // Without a parent, containers are among themselves.
        host.docker("network create -d macvlan --subnet 10.56.0.0/24 alone").ok();
        host.docker(&format!("run -d --name web --network alone {SERVER}")).ok();
        host.docker("run -d --name asker --network alone busybox sleep 100000").ok();
        until_true("the page by name", || gets(host, "asker", "web"));
        assert!(!host.docker("exec asker ip route").ok().contains("default"));
        let address = host.inspect("web", "{{.NetworkSettings.Networks.alone.IPAddress}}");
        assert_eq!(host.fetch(&format!("http://{address}/")), "");
        host.docker("rm -f web asker").ok();
        host.docker("network rm alone").ok();
        assert!(!ip(host, "-o link").contains("dm-"));
    });
}

//! Networks: `-p`, `--network bridge|host|none`, and containers that meet.

use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

/// A web server for as long as the container runs; its page is one word.
const SERVER: &str =
    "busybox sh -c 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www -p 80'";

fn serves(host: &Host, url: &str) {
    until_true(&format!("a page at {url}"), || host.fetch(url) == "page\n");
}

#[test]
fn a_published_port_is_served_on_every_address_of_the_host() {
    on_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 {SERVER}")).ok();
        serves(host, "http://127.0.0.1:8080/");
        let gateway = host.inspect("web", "{{.NetworkSettings.Networks.bridge.Gateway}}");
        serves(host, &format!("http://{gateway}:8080/"));
        host.docker("port web").code(0).stdout_has("80/tcp -> 0.0.0.0:8080");
        host.docker("ps --format '{{.Ports}}'").stdout_has("0.0.0.0:8080->80/tcp");
        host.docker("stop -t 0 web").ok();
        assert_eq!(host.fetch("http://127.0.0.1:8080/"), "");
        host.docker("start web").ok();
        serves(host, "http://127.0.0.1:8080/");
    });
}

#[test]
fn a_port_can_be_bound_to_one_address() {
    on_host(|host| {
        host.run("ip", &["address", "add", "10.9.8.7/24", "dev", "lo"]).ok();
        host.docker(&format!("run -d --name web -p 127.0.0.1:8081:80 {SERVER}")).ok();
        serves(host, "http://127.0.0.1:8081/");
        assert_eq!(host.fetch("http://10.9.8.7:8081/"), "");
        host.docker("port web 80").code(0).stdout("127.0.0.1:8081\n");
    });
}

#[test]
fn a_free_port_is_found() {
    on_host(|host| {
        host.docker(&format!("run -d --name web -p 80 {SERVER}")).ok();
        let port = host.docker("port web 80/tcp").lines()[0].to_owned();
        serves(host, &format!("http://{}/", port.replace("0.0.0.0", "127.0.0.1")));
        host.docker(&format!("run -d --name web2 -p 9000-9010:80 {SERVER}")).ok();
        let port = host.docker("port web2 80/tcp").lines()[0].to_owned();
        serves(host, &format!("http://{}/", port.replace("0.0.0.0", "127.0.0.1")));
    });
}

#[test]
fn exposed_ports_are_published_with_capital_p() {
    on_host(|host| {
        host.docker(&format!("run -d -P --expose 80 --name web {SERVER}")).ok();
        let port = host.docker("port web 80").lines()[0].to_owned();
        serves(host, &format!("http://{}/", port.replace("0.0.0.0", "127.0.0.1")));
    });
}

/// The host's perl in a container: it sends back what it gets on port 53.
const ECHO: &str = r#"-v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro busybox perl -MIO::Socket::INET -e '
    $socket = IO::Socket::INET->new(LocalPort => 53, Proto => "udp");
    $socket->send($text) while $socket->recv($text, 99)'"#;

#[test]
fn udp_is_published_too() {
    on_host(|host| {
        host.docker(&format!("run -d --name echo -p 5353:53/udp {ECHO}")).ok();
        host.docker("port echo").stdout_has("53/udp -> 0.0.0.0:5353");
        let ask = "exec 3<>/dev/udp/127.0.0.1/5353; echo hi >&3; timeout 1 head -n 1 <&3";
        until_true("an echo", || host.run("bash", &["-c", ask]).stdout == "hi\n");
    });
}

#[test]
fn containers_reach_each_other_by_address() {
    on_host(|host| {
        host.docker(&format!("run -d --name web {SERVER}")).ok();
        let address = host.inspect("web", "{{.NetworkSettings.IPAddress}}");
        until_true("the page", || {
            host.docker(&format!("run --rm busybox wget -qO- http://{address}/")).stdout == "page\n"
        });
    });
}

#[test]
fn a_container_reaches_a_published_port_through_the_host_and_itself() {
    on_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 {SERVER}")).ok();
        serves(host, "http://127.0.0.1:8080/");
        let gateway = host.inspect("web", "{{.NetworkSettings.Gateway}}");
        let wget = format!("wget -qO- http://{gateway}:8080/");
        host.docker(&format!("run --rm busybox {wget}")).code(0).stdout("page\n");
        host.docker(&format!("exec web {wget}")).code(0).stdout("page\n");
    });
}

#[test]
fn the_bridge_gives_an_address_and_a_route() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let address =
            host.inspect("c1", "{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}}");
        host.docker("exec c1 ip -o -4 address show eth0").stdout_has(&address);
        let gateway = host.inspect("c1", "{{.NetworkSettings.Gateway}}");
        host.docker("exec c1 ip route").stdout_has(&format!("default via {gateway} dev eth0"));
        let mac = host.inspect("c1", "{{.NetworkSettings.MacAddress}}");
        host.docker("exec c1 cat /sys/class/net/eth0/address").stdout(&format!("{mac}\n"));
        host.docker(&format!("exec c1 ping -c 1 -W 5 {gateway}")).ok();
        let name = address.split('/').next().unwrap_or_default();
        host.docker("exec c1 cat /etc/hosts").stdout_has(&format!("{name}\t"));
    });
}

#[test]
fn none_has_only_the_loopback() {
    on_host(|host| {
        host.docker("run --rm --network none busybox ls /sys/class/net").code(0).stdout("lo\n");
        host.docker("run --rm --network none busybox ping -c 1 -W 5 127.0.0.1").ok();
        host.docker("create --name c1 --network none busybox").ok();
        assert_eq!(host.inspect("c1", "{{.HostConfig.NetworkMode}}"), "none");
    });
}

#[test]
fn host_is_the_hosts_own() {
    on_host(|host| {
        let there = host.run("ls", &["/sys/class/net"]).ok().replace('\n', " ");
        let here = host.docker("run --rm --network host busybox ls /sys/class/net");
        let here = here.ok().replace('\n', " ");
        assert!(here.contains("lo") && there.contains("lo"));
        host.docker("run -d --name web --network host busybox httpd -f -p 127.0.0.1:8090 -h /etc")
            .ok();
        until_true("its file", || host.fetch("http://127.0.0.1:8090/passwd").contains("alice"));
        let name = host.run("hostname", &[]).ok().to_owned();
        host.docker("run --rm --network host busybox hostname").stdout(&format!("{name}\n"));
    });
}

#[test]
fn one_container_can_join_anothers_network() {
    on_host(|host| {
        host.docker(&format!("run -d --name web {SERVER}")).ok();
        until_true("the page", || {
            host.docker("run --rm --network container:web busybox wget -qO- http://127.0.0.1/")
                .stdout
                == "page\n"
        });
    });
}

#[test]
fn networks_are_listed_and_inspected() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let list = host.docker("network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'");
        let mut lines = list.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["bridge bridge local", "host host local", "none null local"]);
        let bridge = host.docker("network inspect bridge").json()[0].clone();
        let id = host.inspect("c1", "{{.Id}}");
        assert_eq!(bridge["Containers"][&id]["Name"], "c1");
        assert!(bridge["IPAM"]["Config"][0]["Subnet"].is_string(), "{bridge}");
        host.docker("run --rm --network nowhere busybox true")
            .code(125)
            .stderr_has("network nowhere not found");
    });
}

#[test]
fn resolvers_are_the_hosts_or_those_asked_for() {
    on_host(|host| {
        let ran = host.docker("run --rm --dns 192.0.2.53 --dns-search example.org --dns-option ndots:2 busybox cat /etc/resolv.conf");
        let words: Vec<_> = ran
            .lines()
            .into_iter()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(words, ["nameserver 192.0.2.53", "search example.org", "options ndots:2"]);
        host.docker("run --rm --add-host db:10.1.2.3 busybox cat /etc/hosts")
            .stdout_has("10.1.2.3\tdb");
    });
}

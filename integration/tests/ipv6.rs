//! IPv6, beside IPv4 and alone, as a user asks for it; ports that are published elsewhere later.

use rustix::process::Signal;
use serde_json::{Value, json};
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, on_host_with};

/// A web server for as long as the container runs; its page is one word.
const SERVER: &str =
    "busybox sh -c 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www -p 80'";

fn serves(host: &Host, url: &str) {
    until_true(&format!("a page at {url}"), || host.fetch(url) == "page\n");
}

fn network(host: &Host, name: &str) -> Value {
    let listed: Value = host.docker(&format!("network inspect {name}")).json();
    listed[0].clone()
}

#[test]
fn a_port_is_served_by_ipv6_although_the_container_has_none() {
    on_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 -p [::1]:8081:80 {SERVER}")).ok();
        serves(host, "http://[::1]:8080/");
        serves(host, "http://[::1]:8081/");
        serves(host, "http://127.0.0.1:8080/");
        assert_eq!(host.fetch("http://127.0.0.1:8081/"), "");
        host.docker("port web").stdout_has("80/tcp -> [::]:8080");
        host.docker("ps --format '{{.Ports}}'").stdout_has("[::]:8080->80/tcp");
        let taken = host.docker(&format!("run -d --name other -p [::1]:8080:80 {SERVER}"));
        taken.code(125).stderr_has("Bind for ::1:8080 failed: port is already allocated");
        host.docker("rm other").ok();
        host.end_daemon(Signal::KILL);
        assert_eq!(host.fetch("http://[::1]:8080/"), "page\n", "without the daemon");
        host.start_daemon();
        host.docker("stop -t 0 web").ok();
        assert_eq!(host.fetch("http://[::1]:8080/"), "");
        host.docker("start web").ok();
        serves(host, "http://[::1]:8080/");
    });
}

/// The host's perl in a container: it sends back what it gets on port 53.
const ECHO: &str = r#"-v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro busybox perl -MIO::Socket::INET -e '
    $socket = IO::Socket::INET->new(LocalPort => 53, Proto => "udp");
    $socket->send($text) while $socket->recv($text, 99)'"#;

#[test]
fn datagrams_are_passed_on_too() {
    on_host(|host| {
        host.docker(&format!("run -d --name echo -p 5353:53/udp {ECHO}")).ok();
        for address in ["127.0.0.1", "::1"] {
            let ask =
                format!("exec 3<>/dev/udp/{address}/5353; echo hi >&3; timeout 1 head -n 1 <&3");
            until_true("an echo", || host.run("bash", &["-c", &ask]).stdout == "hi\n");
        }
    });
}

#[test]
fn a_network_with_both_kinds_of_addresses() {
    on_host(|host| {
        host.docker("network create --ipv6 chosen").ok();
        let chosen = network(host, "chosen");
        assert_eq!((&chosen["EnableIPv4"], &chosen["EnableIPv6"]), (&json!(true), &json!(true)));
        let subnet = chosen["IPAM"]["Config"][1]["Subnet"].as_str().unwrap();
        assert!(subnet.starts_with("fd") && subnet.ends_with("::/64"), "{subnet}");

        let subnets = "--subnet 10.44.0.0/24 --subnet fd44::/64 --ipv6";
        host.docker(&format!("network create {subnets} both")).ok();
        let places = "--network both --ip 10.44.0.9 --ip6 fd44::9";
        host.docker(&format!("run -d --name web {places} -p 8080:80 {SERVER}")).ok();
        let settings = host.inspect("web", "{{json .NetworkSettings.Networks.both}}");
        let settings: Value = serde_json::from_str(&settings).unwrap();
        assert_eq!(settings["GlobalIPv6Address"], "fd44::9");
        assert_eq!(settings["GlobalIPv6PrefixLen"], 64);
        assert_eq!(settings["IPv6Gateway"], "fd44::1");
        assert_eq!(settings["IPAMConfig"]["IPv6Address"], "fd44::9");
        let listed = &network(host, "both")["Containers"];
        let (_, web) = listed.as_object().unwrap().iter().next().unwrap();
        assert_eq!(web["IPv6Address"], "fd44::9/64");
        for place in ["[fd44::9]:80", "[fd44::1]:8080", "[::1]:8080", "127.0.0.1:8080"] {
            serves(host, &format!("http://{place}/"));
        }
        let taken = host.docker("run --rm --network both --ip6 fd44::9 busybox true");
        taken.code(125).stderr_has("Address already in use");
        host.docker("run -d --name asker --network chosen busybox sleep 1000").ok();
        host.docker("network connect --ip6 fd44::77 --link-local-ip 169.254.9.9 both asker").ok();
        let wget = "exec asker timeout 5 wget -qO- http://[fd44::9]/";
        until_true("the page", || host.docker(wget).stdout == "page\n");
        host.docker("exec asker ip -o address show eth1").stdout_has("169.254.9.9");
    });
}

#[test]
fn a_network_without_ipv4() {
    on_host(|host| {
        host.docker("network create --ipv6 --ipv4=false --subnet fd45::/64 newer").ok();
        assert_eq!(network(host, "newer")["EnableIPv4"], false);
        host.docker(&format!("run -d --name web --network newer -p 8080:80 {SERVER}")).ok();
        assert_eq!(host.inspect("web", "{{.NetworkSettings.Networks.newer.IPAddress}}"), "");
        assert!(!host.docker("exec web ip -o -4 address show eth0").ok().contains("eth0"));
        host.docker("port web").code(0).stdout("80/tcp -> [::]:8080\n");
        serves(host, "http://[fd45::2]/");
        serves(host, "http://[::1]:8080/");
        let refused = host.docker("network create --ipv4=false none-at-all");
        refused.code(1).stderr_has("IPv4 or IPv6 must be enabled");
    });
}

#[test]
fn the_default_network_is_as_the_settings_say() {
    let settings = [
        "--ipv6",
        "--fixed-cidr-v6=fd46::/80",
        "--bip=10.46.0.1/24",
        "--fixed-cidr=10.46.0.128/25",
        "--default-address-pool=base=10.47.0.0/16,size=24",
        "--default-network-opt=bridge=com.docker.network.driver.mtu=1400",
        "--host-gateway-ip=192.0.2.7",
    ];
    on_host_with(&settings, |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        host.docker("run -d --name c1 --add-host up:host-gateway busybox sleep 1000").ok();
        let address =
            |field: &str| host.inspect("c1", &format!("{{{{.NetworkSettings.{field}}}}}"));
        assert_eq!(address("Networks.bridge.GlobalIPv6Address"), "fd46::2");
        assert_eq!(address("Networks.bridge.IPAddress"), "10.46.0.128");
        host.docker("exec c1 cat /etc/hosts").stdout_has("192.0.2.7\tup");
        host.docker("network create first").ok();
        assert_eq!(network(host, "first")["IPAM"]["Config"][0]["Subnet"], "10.47.0.0/24");
        host.docker("run --rm --network first busybox ip link show eth0").stdout_has("mtu 1400");
    });
}

#[test]
fn ports_are_published_elsewhere_after_a_stop() {
    on_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 {SERVER}")).ok();
        let update = |body: Value| host.post("/containers/web/update", &body.to_string());
        let wanted =
            json!({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8090"}]}});
        let refused = update(wanted.clone());
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert!(refused.message().contains("stop it first"), "{}", refused.body);
        host.docker("stop -t 0 web").ok();
        assert_eq!(update(wanted).status, 200);
        host.docker("start web").ok();
        serves(host, "http://127.0.0.1:8090/");
        assert_eq!(host.fetch("http://127.0.0.1:8080/"), "");
        host.docker("port web").code(0).stdout("80/tcp -> 127.0.0.1:8090\n");
        host.docker("stop -t 0 web").ok();
        assert_eq!(update(json!({"PortBindings": {}})).status, 200);
        host.docker("start web").ok();
        host.docker("port web").code(0).stdout("");
    });
}

#[test]
fn endpoints_have_options() {
    on_host(|host| {
        host.docker("network create one").ok();
        let options = "driver-opt=com.docker.network.endpoint.ifname=net7,\
             driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,\
             driver-opt=org.example.note=x";
        let network = format!("--network name=one,{options}");
        let script = "cat /proc/sys/net/ipv4/conf/net7/log_martians; sleep 1000";
        host.docker(&format!("run -d --name c1 {network} busybox sh -c '{script}'")).ok();
        until_true("the setting", || host.docker("logs c1").stdout == "1\n");
        let shown = host.inspect("c1", "{{json .NetworkSettings.Networks.one.DriverOpts}}");
        assert!(shown.contains("org.example.note"), "{shown}");
        let wrong = "name=one,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.ip_forward=1";
        let refused = host.docker(&format!("run --rm --network {wrong} busybox true"));
        refused.code(125).stderr_has("unrecognised network interface sysctl");
    });
}

#[test]
fn who_keeps_the_kernel_from_ipv6_gets_none() {
    on_host(|host| {
        host.docker("network create --ipv6 --subnet 10.46.0.0/24 --subnet fd00:46::/64 both").ok();
        let off = "--sysctl net.ipv6.conf.all.disable_ipv6=1 --network both";
        let one = "--network name=both,driver-opt=com.docker.network.endpoint.sysctls=\
                   net.ipv6.conf.IFNAME.disable_ipv6=1";
        for wish in [off, one] {
            host.docker(&format!("run -d --name web -p 8080:80 {wish} {SERVER}")).ok();
            serves(host, "http://127.0.0.1:8080/");
            let format = "{{with .NetworkSettings.Networks.both}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
            assert_eq!(host.inspect("web", format), "10.46.0.2");
            assert!(!host.docker("exec web ip address show eth0").ok().contains("inet6"));
            let other = host.docker("run --rm --network both busybox ping -6 -c 1 web");
            other.code(1).stderr_has("bad address");
            host.docker("rm -f web").ok();
        }
    });
}

#[test]
fn an_address_of_a_kind_that_is_off_is_not_given_and_no_error() {
    on_host(|host| {
        host.docker("network create --subnet 10.47.0.0/24 --subnet fd00:47::/64 older").ok();
        host.docker("run -d --name web --network older --ip6 fd00:47::9 busybox sleep 1000").ok();
        let format =
            "{{with .NetworkSettings.Networks.older}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
        assert_eq!(host.inspect("web", format), "10.47.0.2");
        let elsewhere = "create --name other --network older --ip6 fd00:48::9 busybox true";
        host.docker(elsewhere).code(1).stderr_has("invalid config for network older");
        assert!(!host.docker("ps -a").stdout.contains("other"));
    });
}

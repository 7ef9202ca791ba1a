//! Networks that users make: names, several networks at once, who reaches whom, and what of it goes on
//! without the daemon.

use rustix::process::Signal;
use serde_json::json;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

/// A web server for as long as the container runs; its page is one word.
const SERVER: &str =
    "busybox sh -c 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www -p 80'";

/// Whether the container gets the page by this name or address.
fn gets(host: &Host, container: &str, server: &str) -> bool {
    let wget = format!("exec {container} timeout 3 wget -qO- http://{server}/");
    host.docker(&wget).stdout == "page\n"
}

fn address(host: &Host, container: &str, network: &str) -> String {
    host.inspect(container, &format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"))
}

#[test]
fn containers_find_each_other_by_name() {
    on_host(|host| {
        host.docker("network create front").ok();
        host.docker("network create back").ok();
        let server = format!("run -d --name web --network front --network-alias www {SERVER}");
        let id = host.docker(&server).ok().trim().to_owned();
        host.docker("run -d --name asker --network front busybox sleep 1000").ok();
        host.docker("run -d --name stranger --network back busybox sleep 1000").ok();
        until_true("the page", || gets(host, "asker", "web"));
        let short: String = id.chars().take(12).collect();
        for name in ["www", "WEB", "web.front", short.as_str()] {
            assert!(gets(host, "asker", name), "{name}");
        }
        assert!(!gets(host, "stranger", "web"));
        let place = address(host, "web", "front");
        assert!(!gets(host, "stranger", &place), "another network is out of reach");
        host.docker(&format!("exec asker nslookup {place}")).stdout_has("web.front");
        host.docker("exec asker cat /etc/resolv.conf").stdout_has("nameserver 127.0.0.11\n");
        host.docker("exec asker nslookup -type=aaaa web").ok();

        host.docker("rename web shop").ok();
        assert!(gets(host, "asker", "shop") && !gets(host, "asker", "web"));
        host.docker("rm -f shop").ok();
        assert!(!gets(host, "asker", "shop"));
        // On the default bridge nobody has a name.
        host.docker(&format!("run -d --name plain {SERVER}")).ok();
        let lost = host.docker("run --rm busybox timeout 9 wget -qO- http://plain/");
        assert_ne!(lost.code, 0, "{}", lost.stdout);
    });
}

#[test]
fn a_container_that_runs_is_connected_and_disconnected() {
    on_host(|host| {
        host.docker("network create front").ok();
        host.docker("network create --subnet 10.44.0.0/24 --internal back").ok();
        host.docker(&format!("run -d --name db --network back {SERVER}")).ok();
        host.docker("run -d --name web --network front busybox sleep 1000").ok();
        assert!(!gets(host, "web", "db"));
        host.docker("network connect --ip 10.44.0.77 --alias shop back web").ok();
        until_true("the page", || gets(host, "web", "db"));
        host.docker("exec web ip -o -4 address show eth1").stdout_has("10.44.0.77/24");
        host.docker("exec web cat /etc/hosts").stdout_has("10.44.0.77\t");
        host.docker("exec db nslookup shop").stdout_has("10.44.0.77");
        host.docker("network inspect back").stdout_has("\"IPv4Address\": \"10.44.0.77/24\"");
        let again = host.docker("network connect back web");
        again.code(1).stderr_has("endpoint with name web already exists in network back");
        host.docker("network rm back").code(1).stderr_has("network back has active endpoints");

        host.docker("network disconnect back web").ok();
        assert!(!gets(host, "web", "db"));
        assert!(!host.docker("exec web ip -o link").ok().contains("eth1"));
        let gone = host.docker("network disconnect back web");
        gone.code(1).stderr_has("is not connected to network back");

        // What doesn't run is connected when it starts.
        host.docker("stop -t 0 web").ok();
        host.docker("network connect back web").ok();
        host.docker("start web").ok();
        assert!(gets(host, "web", "db"));
        host.docker("network disconnect front web").ok();
        host.docker("exec web ip route").stdout_has("10.44.0.0/24");
        assert!(!host.docker("exec web ip route").stdout.contains("default"));
    });
}

#[test]
fn what_cannot_be_is_refused_in_dockers_words() {
    on_host(|host| {
        host.docker("network create --subnet 10.44.0.0/24 mine").ok();
        let refused = |typed: &str, said: &str| {
            host.docker(typed).code(1).stderr_has(said);
        };
        refused("network create mine", "network with name mine already exists");
        refused("network create bridge", "operation is not permitted on predefined bridge network");
        refused("network create --subnet 10.44.0.128/25 more", "Pool overlaps with other one");
        refused("network create --subnet 10.45.0.1/24 more", "it should be 10.45.0.0/24");
        refused("network create -d host more", "only one instance of \"host\" network is allowed");
        refused("network create -d weave more", "plugin \"weave\" not found");
        refused("network rm bridge", "bridge is a pre-defined network and cannot be removed");
        refused("network rm nowhere", "network nowhere not found");
        host.docker("run -d --name c1 --network mine --ip 10.44.0.9 busybox sleep 1000").ok();
        let run = |typed: &str| format!("run {typed} busybox true");
        let fails = |typed: &str, said: &str| {
            host.docker(&run(typed)).code(125).stderr_has(said);
        };
        fails("--network mine --ip 10.44.0.9", "Address already in use");
        fails(
            "--network mine --ip 10.9.0.9",
            "no configured subnet or ip-range contain the IP address 10.9.0.9",
        );
        fails("--ip 10.9.0.9", "supported on user defined networks only");
        fails("--network nowhere", "network nowhere not found");
        refused("network connect host c1", "container must be created in host network mode");
        refused("network connect none c1", "in private (none) mode");
    });
}

#[test]
fn ports_are_published_by_the_network_that_leads_out() {
    on_host(|host| {
        host.docker("network create alpha").ok();
        host.docker("network create omega").ok();
        host.docker(&format!("run -d --name web --network omega -p 8080:80 {SERVER}")).ok();
        let serves = || host.fetch("http://127.0.0.1:8080/") == "page\n";
        until_true("the page", serves);
        host.docker("network connect alpha web").ok();
        assert!(serves(), "the port follows the gateway");
        host.docker("network disconnect omega web").ok();
        assert!(serves());
        host.docker("ps").stdout_has("0.0.0.0:8080->80/tcp");
        // From another network by the host's address.
        host.docker("run -d --name other busybox sleep 1000").ok();
        let gateway = host.inspect("other", "{{.NetworkSettings.Gateway}}");
        assert!(gets(host, "other", &format!("{gateway}:8080")));
        assert!(!gets(host, "other", &address(host, "web", "alpha")));
        host.docker("network disconnect alpha web").ok();
        assert!(!serves());
    });
}

#[test]
fn containers_that_are_kept_apart_reach_only_what_is_outside() {
    on_host(|host| {
        host.docker("network create -o com.docker.network.bridge.enable_icc=false apart").ok();
        host.docker(&format!("run -d --name web --network apart -p 8080:80 {SERVER}")).ok();
        until_true("the page", || host.fetch("http://127.0.0.1:8080/") == "page\n");
        host.docker("run -d --name other --network apart busybox sleep 1000").ok();
        assert!(!gets(host, "other", "web"));
        let gateway = host.inspect("other", "{{.NetworkSettings.Networks.apart.Gateway}}");
        host.docker(&format!("exec other ping -c 1 -W 5 {gateway}")).ok();
    });
}

#[test]
fn links_tell_of_others_on_the_default_bridge() {
    on_host(|host| {
        host.docker(&format!("run -d --name db --expose 80 -e COLOUR=red {SERVER}")).ok();
        let linked =
            host.docker("run --rm --name web --link db:store busybox sh -c 'cat /etc/hosts; env'");
        let place = address(host, "db", "bridge");
        linked.stdout_has(&format!("{place}\tstore "));
        linked.stdout_has(&format!("STORE_PORT_80_TCP=tcp://{place}:80\n"));
        linked.stdout_has("STORE_ENV_COLOUR=red\n").stdout_has("STORE_NAME=/web/store\n");
        host.docker("create --name later --link db:store busybox true").ok();
        assert_eq!(host.inspect("later", "{{json .HostConfig.Links}}"), r#"["/db:/later/store"]"#);
        host.docker("ps --no-trunc --filter name=db --format '{{.Names}}'")
            .stdout_has("later/store");
        assert_eq!(host.inspect("/later/store", "{{.Name}}"), "/db");
        host.docker("stop -t 0 db").ok();
        host.docker("start later").code(1).stderr_has("Cannot link to a non running container");
        host.docker("rm --link later").code(1).stderr_has("cannot remove the default link name");
        host.docker("rm --link /later/nobody")
            .code(1)
            .stderr_has("No such container: later/nobody");
        host.docker("rm --link /later/store").ok();
        host.docker("start --attach later").code(0);
    });
}

/// Fetches a page by name, over and over; each time it gets it, its log grows.
const ASKER: &str = "busybox sh -c 'while :; do timeout 3 wget -qO- http://web/; sleep 0.1; done'";

#[test]
fn names_go_on_without_the_daemon() {
    if !peer::is_tared("names that outlive it") {
        return;
    }
    on_host(|host| {
        host.docker("network create front").ok();
        host.docker(&format!("run -d --name web --network front {SERVER}")).ok();
        host.docker(&format!("run -d --name asker --network front {ASKER}")).ok();
        let pages = || host.docker("logs asker").stdout.len();
        until_true("pages", || pages() > 0);
        let log = host.inspect("asker", "{{.LogPath}}");
        let size = || std::fs::metadata(host.outside(log.as_ref())).map_or(0, |file| file.len());
        let before = host.inspect("asker", "{{json .NetworkSettings.Networks}}");

        host.end_daemon(Signal::KILL);
        let at_the_end = size();
        until_true("pages without a daemon", || size() > at_the_end + 500);
        host.start_daemon();
        assert_eq!(host.inspect("asker", "{{json .NetworkSettings.Networks}}"), before);
        let taken_over = size();
        until_true("pages under the next daemon", || size() > taken_over);
        host.docker("run -d --name late --network front busybox sleep 1000").ok();
        host.docker("exec asker nslookup late").ok();
        host.docker("exec late nslookup web").ok();

        // What answers is killed, too.
        let process = host.run("pgrep", &["-f", "^tared-names"]).ok().trim().to_owned();
        host.run("kill", &["-9", &process]).ok();
        until_true("names again", || host.docker("exec late nslookup web").code == 0);
        let again = host.run("pgrep", &["-f", "^tared-names"]).ok().trim().to_owned();
        assert_ne!(again, process);
        host.docker("network inspect front").stdout_has("\"late\"");
    });
}

#[test]
fn networks_are_listed_pruned_and_told_of() {
    on_host(|host| {
        host.docker("network create --label tier=front front").ok();
        host.docker("network create back").ok();
        host.docker("network ls --filter label=tier=front --format {{.Name}}").stdout("front\n");
        let custom = host.docker("network ls --filter type=custom --format {{.Name}}");
        custom.stdout("back\nfront\n");
        host.docker("run -d --name web --network front busybox sleep 1000").ok();
        let unused = host.docker("network ls --filter dangling=true --format {{.Name}}");
        unused.stdout("back\n");
        host.docker("ps --filter network=front --format {{.Names}}").stdout("web\n");
        host.docker("network prune -f").ok();
        host.docker("network inspect back").code(1).stderr_has("network back not found");
        host.docker("rm -f web").ok();
        host.docker("network rm front").ok();
        // Until a second from now, so that what is told in this one is among it.
        let until = host.run("date", &["-d", "+1 second", "+%s"]).ok().trim().to_owned();
        let told = host.docker(&format!(
            "events --since 1h --until {until} --filter type=network --format {{{{.Action}}}}"
        ));
        for action in ["create", "connect", "disconnect", "destroy", "prune"] {
            told.stdout_has(&format!("{action}\n"));
        }
    });
}

#[test]
fn a_container_that_puts_its_other_way_out_down_leaves_a_network_all_the_same() {
    on_host(|host| {
        host.docker("network create alpha").ok();
        host.docker("network create omega").ok();
        let ways = "--network name=alpha,gw-priority=1 --network omega --cap-add NET_ADMIN";
        host.docker(&format!("run -d --name web {ways} busybox sleep 1000")).ok();
        host.docker("exec web ip link set eth1 down").ok();
        host.docker("network disconnect alpha web").ok();
        host.docker("network connect alpha web").ok();
        host.docker("restart -t 0 web").ok();
        let on = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        assert_eq!(host.inspect("web", on), "alpha omega");
        host.docker("exec web ip route").stdout_has("default via");
    });
}

#[test]
fn a_network_that_is_named_by_its_id_is_the_same_one() {
    on_host(|host| {
        let id = host.docker("network create --subnet 10.48.0.0/24 mine").ok().to_owned();
        let mac = "02:42:ac:11:00:42";
        let body = json!({
            "Image": "busybox",
            "Cmd": ["sleep", "1000"],
            "MacAddress": mac,
            "HostConfig": { "NetworkMode": id },
            "NetworkingConfig": {
                "EndpointsConfig": { "mine": { "IPAMConfig": { "IPv4Address": "10.48.0.9" } } },
            },
        });
        let made = host.post("/v1.25/containers/create?name=web", &body.to_string());
        assert_eq!(made.status, 201, "{made:?}");
        host.docker("start web").ok();
        let format = "{{range $name, $it := .NetworkSettings.Networks}}\
                      {{$name}} {{$it.IPAddress}} {{$it.MacAddress}} {{end}}";
        assert_eq!(host.inspect("web", format), format!("mine 10.48.0.9 {mac}"));
    });
}

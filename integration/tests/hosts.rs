//! The files by which a container finds others, and itself: hosts, host name, resolver settings.

use tare_integration::wait::until_true;
use tare_integration::{Host, dns, on_host};

/// Somebody who is there and does nothing.
const REST: &str = "busybox sleep 1000";

/// The lines of a hosts file that are not in every one.
fn hosts(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.contains("localhost") && !line.contains("ip6-")).collect()
}

/// What a container with these flags finds in a file.
fn finds(host: &Host, flags: &str, file: &str) -> String {
    host.docker(&format!("run --rm {flags} busybox cat /etc/{file}")).ok_untrimmed().to_owned()
}

/// The lines of its resolver settings that mean something.
fn resolver(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn hosts_say_who_one_is() {
    on_host(|host| {
        host.docker("network create --subnet 10.44.0.0/24 front").ok();
        for (flags, names) in [
            ("-h box", "box"),
            ("-h box --domainname example.org", "box.example.org box"),
            ("-h a.b.c", "a.b.c a"),
            ("-h a.b --domainname c", "a.b.c a"),
        ] {
            let text = finds(host, &format!("--network front {flags}"), "hosts");
            assert_eq!(hosts(&text), [format!("10.44.0.2\t{names}")]);
        }
        let whole = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                     ff02::2\tip6-allrouters\n";
        assert_eq!(finds(host, "--network none", "hosts"), whole);
        let added = "--add-host up:host-gateway --add-host six:fd00::1 --add-host four:1.2.3.4";
        let gateway = host.docker("network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge");
        let text = finds(host, &format!("--network front -h box {added}"), "hosts");
        let up = format!("{}\tup", gateway.ok());
        assert_eq!(hosts(&text), [&up, "fd00::1\tsix", "1.2.3.4\tfour", "10.44.0.2\tbox"]);
        // With additions, the host's own are not there, so that they can be changed.
        let of_host = host.run("cat", &["/etc/hosts"]);
        assert_eq!(finds(host, "--network host", "hosts"), of_host.stdout);
        let text = finds(host, "--network host --add-host four:1.2.3.4", "hosts");
        assert_eq!(hosts(&text), ["1.2.3.4\tfour"]);
        let off = "--sysctl net.ipv6.conf.all.disable_ipv6=1 -h box --add-host six:fd00::1";
        let text = finds(host, &format!("--network front {off}"), "hosts");
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.44.0.2\tbox\n");
        assert_eq!(finds(host, "-h a.b.c --read-only", "hostname"), "a.b.c\n");
    });
}

#[test]
fn resolver_settings_are_the_hosts_or_those_asked_for() {
    on_host(|host| {
        let of_host = dns::configure(
            host,
            "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch one two\noptions edns0\n",
        );
        host.docker("network create front").ok();
        let found = |flags: &str, lines: &[&str]| {
            assert_eq!(resolver(&finds(host, flags, "resolv.conf")), lines, "{flags}");
        };
        let rest = ["search one two", "options edns0"];
        found("", &["nameserver 192.0.2.53", rest[0], rest[1]]);
        found("--network none", &["nameserver 192.0.2.53", rest[0], rest[1]]);
        let all = ["nameserver 127.0.0.53", "nameserver 192.0.2.53", rest[0], rest[1]];
        found("--network host", &all);
        let own = ["nameserver 127.0.0.11", rest[0], "options edns0 ndots:0"];
        found("--network front", &own);
        let asked = "--dns 9.9.9.9 --dns 2001:db8::1 --dns-search . --dns-option rotate \
                     --dns-option ndots:x --dns-option ndots:2";
        let servers = ["nameserver 9.9.9.9", "nameserver 2001:db8::1"];
        found(asked, &[servers[0], servers[1], "options rotate ndots:x ndots:2"]);
        let asked = format!("--network front {asked}");
        found(&asked, &["nameserver 127.0.0.11", "options rotate ndots:2"]);
        let text = finds(host, &asked, "resolv.conf");
        assert!(text.contains("# ExtServers: [9.9.9.9 2001:db8::1]\n"), "{text}");
        let text = finds(host, "--network front", "resolv.conf");
        assert!(text.contains("# ExtServers: [host(127.0.0.53) host(192.0.2.53)]\n"), "{text}");
        // Where nothing of the host's is of use.
        of_host.write("nameserver 127.0.0.53\n");
        found("", &["nameserver 8.8.8.8", "nameserver 8.8.4.4"]);
    });
}

#[test]
fn what_its_user_writes_stays_while_networks_come_and_go() {
    on_host(|host| {
        host.docker("network create --subnet 10.44.0.0/24 front").ok();
        host.docker("network create --subnet 10.45.0.0/24 back").ok();
        let now = |file: &str| {
            host.docker(&format!("exec c-1 cat /etc/{file}")).ok_untrimmed().to_owned()
        };
        host.docker(&format!("run -d --name c-1 -h box --network front {REST}")).ok();
        // What it writes need not be text.
        host.docker("exec c-1 sh -c \"printf '\\\\377 mine\\\\n' >> /etc/hosts\"").ok();
        host.docker("network connect back c-1").ok();
        let text = now("hosts");
        let [first, mine, last] = hosts(&text)[..] else { panic!("{text}") };
        assert_eq!((first, last), ("10.44.0.2\tbox", "10.45.0.2\tbox"));
        assert!(mine.ends_with(" mine"));
        host.docker("network disconnect front c-1").ok();
        let text = now("hosts");
        let [mine, last] = hosts(&text)[..] else { panic!("{text}") };
        assert!(mine.ends_with(" mine") && last == "10.45.0.2\tbox");
        // However much it is.
        host.docker("exec c-1 dd if=/dev/zero of=/etc/hosts bs=1M count=8").ok();
        host.docker("network connect front c-1").ok();
        host.docker("restart -t 0 c-1").ok();
        assert_eq!(hosts(&now("hosts")), ["10.44.0.2\tbox", "10.45.0.2\tbox"]);

        // Settings that nobody has touched follow.
        host.docker(&format!("run -d --name c-2 {REST}")).ok();
        let settings = || host.docker("exec c-2 cat /etc/resolv.conf").ok_untrimmed().to_owned();
        assert!(!settings().contains("127.0.0.11"));
        // Also if the host's have changed meanwhile.
        let _settings = dns::configure(host, "nameserver 192.0.2.99\n");
        host.docker("network connect front c-2").ok();
        assert_eq!(resolver(&settings()), ["nameserver 127.0.0.11", "options ndots:0"]);
        host.docker(&format!("run -d --name c-3 {REST}")).ok();
        host.docker("exec c-3 sh -c 'echo nameserver 192.0.2.3 > /etc/resolv.conf'").ok();
        host.docker("network connect front c-3").ok();
        let kept = host.docker("exec c-3 cat /etc/resolv.conf");
        assert_eq!(kept.stdout, "nameserver 192.0.2.3\n");
        host.docker("restart -t 0 c-3").ok();
        let again = host.docker("exec c-3 cat /etc/resolv.conf");
        assert_eq!(resolver(&again.stdout), ["nameserver 127.0.0.11", "options ndots:0"]);
    });
}

#[test]
fn who_is_linked_is_told_where_the_other_has_gone() {
    on_host(|host| {
        let address =
            |name: &str| host.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        host.docker(&format!("run -d --name db -h store {REST}")).ok();
        let links = "--link db:one --link db:two --link db";
        host.docker(&format!("run -d --name web -h web {links} {REST}")).ok();
        let told = || host.docker("exec web cat /etc/hosts").ok_untrimmed().to_owned();
        let expected = |place: &str| -> Vec<String> {
            let names = ["db store", "one store db", "two store db"];
            names.iter().map(|names| format!("{place}\t{names}")).collect()
        };
        let others = |text: &str| -> Vec<String> {
            let mut lines: Vec<_> = hosts(text).into_iter().map(str::to_owned).collect();
            lines.retain(|line| !line.ends_with("\tweb"));
            lines.sort();
            lines
        };
        let before = address("db");
        assert_eq!(others(&told()), expected(&before));
        host.docker("stop -t 0 db").ok();
        host.docker(&format!("run -d --name taker {REST}")).ok();
        until_true("another taking its address", || {
            address("taker") == before || {
                host.docker("rm -f taker").ok();
                host.docker(&format!("run -d --name taker {REST}")).ok();
                false
            }
        });
        host.docker("start db").ok();
        assert_ne!(address("db"), before);
        assert_eq!(others(&told()), expected(&address("db")));
    });
}

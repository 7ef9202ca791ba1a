//! The bridge itself: its name, its addresses, its settings.

use super::host::{inside, on_a_host, output, run};
use crate::error::Kind;
use crate::network::ByFamily;

#[test]
fn the_settings_of_the_bridge_are_checked() {
    on_a_host(|mut host| {
        run("ip link add stranger type bridge");
        run("ip address add 172.17.5.5/24 dev stranger");
        let bip = |text: &str| ByFamily { ipv4: Some(text.parse().unwrap()), ipv6: None };
        host.config.bridge.addresses = bip("172.17.0.1/16");
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("overlaps with 172.17.5.5/24"), "{error}");
        host.config.bridge.addresses = bip("192.168.7.1/24");
        host.config.bridge.name = "lo".to_owned();
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("lo of this host is no bridge"), "{error}");
        assert_eq!(output("nft list tables"), "", "the host's loopback would be cut off");

        // Someone else's bridge is used, but not changed.
        host.config.bridge.name = "stranger".to_owned();
        let error = host.open().err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("does not have the address 192.168.7.1/24"), "{error}");
        run("ip address add 192.168.7.1/24 dev stranger");
        let before = output("ip address show dev stranger");
        host.open().unwrap();
        assert_eq!(output("ip address show dev stranger"), before);
        run("ip link delete stranger");

        host.config.bridge.name = "bridge1".to_owned();
        host.config.bridge.mtu = Some(1400);
        host.open().unwrap();
        host.config.bridge.addresses = bip("192.168.8.1/24");
        let networks = host.open().unwrap();
        let addresses = output("ip -o -4 address show dev bridge1");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        assert!(addresses.contains("192.168.8.1/24 brd 192.168.8.255"), "{addresses}");
        let web = host.connect(&networks, "web", &[]).unwrap().sandbox;
        assert_eq!(
            web.endpoints[0].interface.as_ref().unwrap().mac.to_string(),
            "02:42:c0:a8:08:02"
        );
        let link = inside(web.netns.as_ref().unwrap(), || output("ip link show eth0"));
        assert!(link.contains("mtu 1400") && link.contains("02:42:c0:a8:08:02"), "{link}");
        for name in ["", "..", "a/b", "tare-x", "a name", "sixteen-bytes-ab"] {
            host.config.bridge.name = name.to_owned();
            assert_eq!(host.open().err().unwrap().kind(), Kind::Invalid, "{name}");
        }
    });
}

#[test]
fn a_bridge_without_settings_keeps_out_of_the_way_and_stays_where_it_is() {
    on_a_host(|mut host| {
        let subnet = || {
            let networks = host.open().unwrap();
            networks.find("bridge").unwrap().subnets[0].to_string()
        };
        run("ip link add docker0 type bridge");
        run("ip address add 172.17.0.1/16 dev docker0");
        run("ip link set lo up");
        run("ip route add 172.18.4.0/24 dev lo scope link");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link delete docker0");
        assert_eq!(subnet(), "172.19.0.0/16");
        // After a reboot.
        run("ip link delete bridge0");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link add vpn type bridge");
        run("ip address add 172.19.0.7/24 dev vpn");
        assert_eq!(subnet(), "172.19.0.0/16");
        run("ip link delete bridge0");
        assert_eq!(subnet(), "172.17.0.0/16");

        // Someone else's bridge has its addresses already.
        host.config.bridge.name = "vpn".to_owned();
        let networks = host.open().unwrap();
        assert_eq!(networks.find("bridge").unwrap().subnets[0].to_string(), "172.19.0.0/24");
        let web = host.connect(&networks, "web", &[]).unwrap().sandbox.endpoints[0]
            .interface
            .clone()
            .unwrap();
        assert_eq!(web.ipv4.unwrap().gateway.unwrap().to_string(), "172.19.0.7");
    });
}

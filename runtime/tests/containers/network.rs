//! Network devices of the host that come into a container.

use crate::bundle::Bundle;
use serde_json::json;

/// A bundle whose container gets `devices` and runs the script `inside`.
fn with_devices(devices: serde_json::Value, inside: &str) -> Bundle {
    let mut bundle = Bundle::script(inside);
    bundle.edit(|config| config["linux"]["netDevices"] = devices);
    bundle
}

/// A device with all that it is to keep, and with addresses that it is not.
const DEVICE: &str = "
    ip link add real0 mtu 1789 address 02:11:22:33:44:55 type veth peer name other0
    ip address add 192.0.2.7/24 broadcast 192.0.2.255 dev real0
    ip address add 192.0.2.9 peer 198.51.100.1/32 dev real0
    ip address add 2001:db8::7/64 dev real0 nodad
    ip address add 169.254.7.7/16 scope link dev real0
    ip address add 192.0.2.99/24 valid_lft 1000 preferred_lft 1000 dev real0
    ip link set real0 up
";

#[test]
fn a_device_comes_with_its_attributes_and_lasting_addresses() {
    let bundle = with_devices(json!({"real0": {"name": "net0"}}), "ip address show dev net0");
    let shown = bundle.on_bare_network(&format!("{DEVICE} tare run c")).ok();
    for kept in [
        "UP",
        "mtu 1789",
        "ether 02:11:22:33:44:55",
        "inet 192.0.2.7/24 brd 192.0.2.255 scope global",
        "inet 192.0.2.9 peer 198.51.100.1/32 scope global",
        // The flag that is asked for: no detection of duplicates.
        "inet6 2001:db8::7/64 scope global flags 02",
    ] {
        assert!(shown.contains(kept), "no {kept}: {shown}");
    }
    for left in ["169.254.7.7", "192.0.2.99"] {
        assert!(!shown.contains(left), "{left}: {shown}");
    }
}

#[test]
fn a_device_stays_in_a_network_that_outlives_the_container() {
    let mut bundle = with_devices(json!({"real0": {}}), "true");
    let network = bundle.path().join("network");
    let mounted = network.display();
    bundle.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = json!(network);
            }
        }
    });
    let script = format!(
        "touch {mounted}
         unshare --net mount --bind /proc/self/ns/net {mounted}
         trap 'umount {mounted}' EXIT
         {DEVICE}
         tare run c
         ip -o link show | grep -c real0 || true
         nsenter --net={mounted} ip -o address show dev real0"
    );
    let shown = bundle.on_bare_network(&script).ok();
    assert!(shown.starts_with("0\n"), "{shown}");
    assert!(shown.contains("inet 192.0.2.7/24"), "{shown}");
}

#[test]
fn a_template_finds_a_free_name() {
    let devices = json!({"real0": {"name": "net%d"}, "other0": {"name": "net%d"}});
    let bundle = with_devices(devices, "ls /sys/class/net");
    let shown = bundle.on_bare_network(&format!("{DEVICE} tare run c")).ok();
    assert_eq!(shown, "lo\nnet0\nnet1\n");
}

#[test]
fn what_cannot_be_moved_leaves_all_devices_where_they_are() {
    for (devices, why) in [
        (
            json!({"other0": {}, "real0": {"name": "lo"}}),
            "the container has a network device lo already",
        ),
        (
            json!({"other0": {}, "void0": {}}),
            "link not found for interface void0 on runtime namespace",
        ),
        (json!({"other0": {"name": "a b"}}), "invalid network device name \\\"a b\\\""),
    ] {
        let bundle = with_devices(devices, "true");
        let ran = bundle.on_bare_network(&format!(
            "{DEVICE} tare run c || ip -o link show dev other0 up >/dev/null && ip link show other0"
        ));
        assert!(ran.err.contains(why), "{ran:?}");
        assert!(ran.ok().contains("other0"), "{why}");
    }
}

#[test]
fn the_hosts_network_takes_no_devices() {
    let mut bundle = with_devices(json!({"real0": {}}), "true");
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    });
    let error = bundle.tare(&["run", "c"]).fails(1);
    assert!(error.contains("unable to move network devices without a NET namespace"), "{error}");
}

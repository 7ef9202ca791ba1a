//! A container's parts as docker's clients see them, in lists and in `inspect`.

pub(super) mod config;
mod devices;
pub(super) mod host_config;
mod mount_requests;
pub(super) mod mounts;
pub(super) mod networks;
pub(super) mod ports;
pub(super) mod state;

#[cfg(test)]
pub(super) mod fixture {
    use serde_json::json;
    use tare_core::container::Container;

    /// A container that runs on the bridge: 80/tcp is published twice, 443/tcp is only exposed.
    pub(in crate::container) fn running() -> Container {
        let published = |address: &str, port: u16| json!({"container_port": 80, "protocol": "tcp", "host_ip": address, "host_port": port});
        let record = json!({
            "id": "c11d7fbe2b6cbf6023e6f33ad0e9a9e4e013af7404d77dfc64e14643f8a4d6a2",
            "name": "web",
            "created": "2026-11-22T05:28:32.691612655Z",
            "path": "nginx",
            "arguments": ["-g", "daemon off;"],
            "image_name": "nginx",
            "image_id": "sha256:1af990bbef344e09e7e80bb0c5f49ea6a28a4ed2a94830597f68702a557e3571",
            "config": {"exposed_ports": ["80/tcp", "443/tcp"], "image": "nginx"},
            "host": {},
            "state": {"Running": {"pid": 7, "started_at": "2026-11-22T05:28:33Z"}},
            "network": {
                "container": "c11d7fbe2b6cbf6023e6f33ad0e9a9e4e013af7404d77dfc64e14643f8a4d6a2",
                "netns": "/run/tare/netns/c11d",
                "endpoints": [{
                    "endpoint_id": "b1b5",
                    "network": "bridge",
                    "network_id": "45fd",
                    "driver": "bridge",
                    "interface": {
                        "name": "eth0",
                        "host_name": "veth0",
                        "ipv4": {
                            "address": "172.17.0.2",
                            "prefix_length": 16,
                            "gateway": "172.17.0.1",
                        },
                        "ipv6": null,
                        "link_local": [],
                        "mac": "02:42:ac:11:00:02",
                        "sysctls": [],
                    },
                    "names": [],
                    "links": {},
                    "gateway_priority": 0,
                }],
                "ports": [published("0.0.0.0", 8080), published("127.0.0.1", 9090)],
                "wanted_ports": [],
                "name_servers": [],
            },
            "mounts": [],
            "restart_count": 0,
            "directory": "/var/lib/tare/containers/c11d",
            "log_path": null,
        });
        serde_json::from_value(record).unwrap()
    }
}

//! Networks tried out with real packets, each test on a host of its own.

mod host;

use std::collections::HashSet;
use std::net::Ipv4Addr;

use host::{call, inside, on_a_host, output, run, serve, tcp};

use crate::error::Kind;
use crate::network::{PortChoice, PortRequest, Protocol};

#[test]
fn a_published_port_is_reached_from_everywhere_and_nothing_else_is() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let ports = [tcp("", 8080, 80), tcp("127.0.0.1", 8081, 81), tcp("10.9.0.1", 8082, 82)];
        let web = host.connect(&networks, "web", &ports).unwrap();
        let other = host.connect(&networks, "other", &[]).unwrap();
        let (web, other) = (web.endpoint.netns.unwrap(), other.endpoint.netns.unwrap());
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
        assert_eq!(call("10.9.0.1:8081"), None);
        assert_eq!(call("127.0.0.1:8082"), None);
        assert_eq!(call("127.0.0.1:8083"), None);

        // From a container: its neighbour by address, published ports by the host's, itself too.
        inside(&other, || {
            assert_eq!(call("172.17.0.2:83").unwrap(), "web 172.17.0.3");
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("172.17.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("10.9.0.1:8082").unwrap(), "web 172.17.0.1");
            assert_eq!(call("10.9.0.1:8081"), None);
        });
        inside(&web, || {
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 172.17.0.1");
            assert_eq!(call("172.17.0.1:8080").unwrap(), "web 172.17.0.1");
        });

        // From another host.
        inside(&neighbour, || {
            assert_eq!(call("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
            assert_eq!(call("10.9.0.1:8082").unwrap(), "web 10.9.0.2");
            assert_eq!(call("10.9.0.1:8081"), None);
            for port in [80, 81, 82, 83] {
                assert_eq!(call(&format!("172.17.0.2:{port}")), None, "{port}");
            }
        });

        // To the world, behind the host's address.
        serve(&neighbour, 9000, "neighbour");
        inside(&web, || assert_eq!(call("10.9.0.2:9000").unwrap(), "neighbour 10.9.0.1"));
    });
}

//! The driver `bridge`: containers on a switch of the host, behind its addresses.

mod device;
mod forwarding;
mod subnet;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::addresses::Addresses;
use super::driver::{Driver, Reservation};
use super::endpoint::{Connect, Endpoint, Interface};
use super::firewall::{Firewall, Watch};
use super::info::Subnet;
use super::kernel::link::{NewCable, NewPeer};
use super::kernel::netlink::{Batch, Netlink};
use super::kernel::netns::{self, Inside};
use super::kernel::sysctl;
use super::mac::MacAddress;
use super::ports::{HostPorts, Target};
use super::to_the_end;
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::store::Store;

/// The name of a container's interface.
const INTERFACE: &str = "eth0";

/// A network that is a bridge of the host.
pub(super) struct Bridge {
    settings: config::Bridge,
    subnet: Subnet,
    /// The host's address for ports that are published without one.
    default_bind: Ipv4Addr,
    addresses: Addresses,
    ports: Arc<HostPorts>,
    firewall: Arc<Firewall>,
    /// Ends with the bridge.
    _watch: Watch,
}

impl Bridge {
    /// Makes or repairs the bridge and its packet filter; these endpoints keep what they have.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for settings that can't be, `Conflict` if an interface that
    /// isn't ours has the name or the addresses, `Exhausted` if no addresses are asked for and none
    /// are free, `System` if the kernel refuses.
    pub(super) fn open(
        config: &Config,
        store: &Store,
        ports: Arc<HostPorts>,
        endpoints: &[Endpoint],
    ) -> Result<Self> {
        let settings = &config.bridge;
        device::check(settings)?;
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        let subnet = device::find(&netlink, &settings.name)
            .and_then(|_| subnet::settle(store, &netlink, settings))
            .map_err(|error| failed(settings, error))?;
        let default_bind = match settings.default_bind {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => {
                return Err(Error::unsupported(format!(
                    "publishing ports on the IPv6 address {address} by default"
                )));
            }
        };
        let forwarding = forwarding::plan(&config.forwarding_note())?;
        let firewall = Arc::new(Firewall::new(&settings.name, subnet, forwarding)?);
        let bridge = Self {
            settings: settings.clone(),
            subnet,
            default_bind,
            addresses: Addresses::new(subnet),
            ports,
            _watch: Watch::over(&firewall)?,
            firewall,
        };
        for endpoint in endpoints {
            bridge.adopt(endpoint);
        }
        bridge
            .firewall
            .lay()
            .and_then(|()| device::ensure(&netlink, settings, subnet))
            // Not before the rules are there that say for whom.
            .and_then(|()| forwarding::turn_on())
            .map_err(|error| failed(settings, error))?;
        Ok(bridge)
    }

    fn adopt(&self, endpoint: &Endpoint) {
        if let Some(interface) = &endpoint.interface {
            self.addresses.adopt(interface.address);
            self.ports.adopt(&endpoint.endpoint_id, &endpoint.ports);
            self.firewall.adopt(&endpoint.container, interface.address, &endpoint.ports);
        }
    }

    /// Makes the container's interface and its cable to the bridge.
    fn plug(
        &self,
        host: &Netlink,
        inside: &Inside,
        endpoint: &Endpoint,
        interface: &Interface,
    ) -> Result<()> {
        let mut outside = Batch::default();
        outside.add_cable(&NewCable {
            name: &interface.host_name,
            bridge: self.device_index(host)?,
            mtu: self.settings.mtu,
            peer: NewPeer { name: INTERFACE, namespace: inside.namespace(), mac: interface.mac },
        });
        outside.set_alias(
            &interface.host_name,
            &device::mark_of(&self.settings.name, &endpoint.container),
        );
        outside.set_hairpin(&interface.host_name);
        host.run(&outside)?;

        // The network has no IPv6, so the interface must not make addresses up.
        sysctl::set_if_present(&format!("ipv6/conf/{INTERFACE}/disable_ipv6"), "1")?;
        let index = inside.index(INTERFACE)?;
        let mut batch = Batch::default();
        batch.set_up("lo");
        batch.add_address(index, interface.address, interface.prefix_length);
        batch.set_up(INTERFACE);
        batch.add_default_route(interface.gateway);
        inside.run(&batch)?;
        device::await_passing(host, &interface.host_name, &self.settings.name)?;

        // Neighbours may know the address by another hardware address, if its last owner had a
        // fixed one. Setting ours, though it is set, makes the kernel tell them.
        sysctl::set(&format!("ipv4/conf/{INTERFACE}/arp_notify"), "1")?;
        let mut announcement = Batch::default();
        announcement.set_mac(INTERFACE, interface.mac);
        inside.run(&announcement)
    }

    /// The number of the bridge, which is made again if someone has deleted it.
    fn device_index(&self, host: &Netlink) -> Result<u32> {
        let name = &self.settings.name;
        if let Ok(index) = host.index(name) {
            return Ok(index);
        }
        tracing::warn!(bridge = name, "the bridge was gone; made it again");
        device::ensure(host, &self.settings, self.subnet)?;
        host.index(name).map_err(|error| Error::io(format!("find {name}"), error))
    }

    fn unplug(&self, interface: &Interface) -> Result<()> {
        device::delete(&Netlink::open(libc::NETLINK_ROUTE)?, &interface.host_name)
    }
}

fn failed(settings: &config::Bridge, error: Error) -> Error {
    error.while_doing(format!("set up the bridge {}", settings.name))
}

impl Driver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn subnet(&self) -> Option<Subnet> {
        Some(self.subnet)
    }

    fn options(&self) -> BTreeMap<String, String> {
        let mtu = self.settings.mtu.unwrap_or(device::DEFAULT_MTU);
        let options = [
            ("bridge.default_bridge", "true".to_owned()),
            ("bridge.enable_icc", "true".to_owned()),
            ("bridge.enable_ip_masquerade", "true".to_owned()),
            ("bridge.host_binding_ipv4", self.default_bind.to_string()),
            ("bridge.name", self.settings.name.clone()),
            ("driver.mtu", mtu.to_string()),
        ];
        options.map(|(name, value)| (format!("com.docker.network.{name}"), value)).into()
    }

    fn reserve(&self, request: &Connect, endpoint_id: &str) -> Result<Reservation> {
        if request.requested_ip.is_some() {
            return Err(Error::invalid(
                "user specified IP address is supported on user defined networks only",
            ));
        }
        let address = self.addresses.take_free()?;
        let target = Target { endpoint_id, default_bind: self.default_bind, container: address };
        let reserved = self.ports.publish(&request.ports, &target).map_err(|error| {
            self.addresses.release(address);
            error.while_doing(format!(
                "driver failed programming external connectivity on endpoint {} ({endpoint_id})",
                request.name
            ))
        })?;
        let (ports, sockets) = reserved.into_iter().unzip();
        let interface = Interface {
            host_name: device::cable_name(endpoint_id),
            address,
            prefix_length: self.subnet.prefix_length,
            gateway: self.subnet.gateway,
            mac: request.mac.unwrap_or_else(|| MacAddress::of(address)),
        };
        Ok(Reservation { own_namespace: true, interface: Some(interface), ports, sockets })
    }

    fn attach(&self, endpoint: &Endpoint) -> Result<()> {
        let (Some(path), Some(interface)) = (&endpoint.netns, &endpoint.interface) else {
            return Err(Error::system("an endpoint on a bridge has a netns and an interface"));
        };
        let host = Netlink::open(libc::NETLINK_ROUTE)?;
        netns::create(path, |inside| self.plug(&host, inside, endpoint, interface))?;
        self.firewall.publish(&endpoint.container, interface.address, &endpoint.ports)
    }

    fn cut_off(&self, endpoint: &Endpoint) -> Result<()> {
        self.firewall.withdraw(&endpoint.container)?;
        self.ports.release(&endpoint.endpoint_id, &endpoint.ports);
        Ok(())
    }

    fn detach(&self, endpoint: &Endpoint) -> Result<()> {
        let interface = endpoint.interface.as_ref();
        to_the_end([
            self.cut_off(endpoint),
            interface.map_or(Ok(()), |interface| self.unplug(interface)),
            endpoint.netns.as_deref().map_or(Ok(()), netns::remove),
        ])?;
        if let Some(interface) = interface {
            self.addresses.release(interface.address);
        }
        Ok(())
    }

    fn sweep(&self, containers: &HashSet<String>) -> Result<()> {
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        to_the_end(device::orphans(&netlink, &self.settings.name, containers)?.into_iter().map(
            |link| {
                tracing::info!(link, "removing the interface of a container that is gone");
                device::delete(&netlink, &link)
            },
        ))
    }
}

//! The interface of the host that containers' interfaces stand on.

use std::collections::HashSet;
use std::path::PathBuf;

use netlink_packet_route::link::InfoKind;
use serde::{Deserialize, Serialize};

use super::layer::{Layer, lacks};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::network::bridge::device;
use crate::network::kernel::netlink::{Batch, Netlink};
use crate::network::kernel::{link::Link, netns};
use crate::network::records::{file_names, make_directory};
use crate::network::to_the_end;

/// What the end of a cable is called where nobody is.
const END: &str = "end";
/// How much of a network's id its own parent has in its name.
const ID: usize = 12;

/// What containers' interfaces stand on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::network) enum Parent {
    /// An interface that the host has, which is never changed.
    Given(String),
    /// A VLAN of one, which is made for it.
    Vlan {
        /// Its name, such as `eth0.10`.
        name: String,
        /// The interface of the host.
        of: String,
        /// The number of the VLAN.
        id: u16,
    },
    /// One that leads nowhere: containers reach only each other.
    Nowhere(String),
}

/// Where this manager keeps what parents are made of, and how it knows them.
#[derive(Debug, Clone)]
pub(in crate::network) struct Makers {
    /// The manager, by the name of its default bridge.
    manager: String,
    /// Where namespaces are held in which nobody is.
    directory: PathBuf,
}

impl Parent {
    /// The parent that an option names; none: one of the network's own.
    ///
    /// # Errors
    /// In docker's words, if there is none and none can be made.
    pub(super) fn named(
        name: Option<&str>,
        layer: Layer,
        network: &str,
        makers: &Makers,
        netlink: &Netlink,
    ) -> Result<Self> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let prefix = match layer {
                Layer::Macvlan(_) => "dm-",
                Layer::Ipvlan(..) => "di-",
            };
            return Ok(Self::Nowhere(prefix.chars().chain(network.chars().take(ID)).collect()));
        };
        if name == "lo" {
            let driver = layer.name();
            return Err(Error::system(format!(
                "loopback interface is not a valid {driver} parent link"
            )));
        }
        match netlink.link(name)? {
            Some(link) if !makers.have_made(&link) => Ok(Self::Given(name.to_owned())),
            found => match Self::vlan(name, netlink) {
                Err(_) if found.is_some() => Ok(Self::Given(name.to_owned())),
                outcome => outcome,
            },
        }
    }

    /// The VLAN that a name like `eth0.10` means.
    fn vlan(name: &str, netlink: &Netlink) -> Result<Self> {
        let (of, id) = vlan_of(name)?;
        if netlink.link(&of)?.is_none() {
            return Err(Error::system(format!(
                "-o parent interface was not found on the host: {of}"
            )));
        }
        if !netlink.has_kind(InfoKind::Vlan)? {
            return Err(lacks("vlan").while_doing(format!("failed to create {name} vlan link")));
        }
        Ok(Self::Vlan { name: name.to_owned(), of, id })
    }

    /// Its name.
    pub(in crate::network) fn name(&self) -> &str {
        match self {
            Self::Given(name) | Self::Vlan { name, .. } | Self::Nowhere(name) => name,
        }
    }

    /// Whether it leads anywhere.
    pub(super) fn leads_out(&self) -> bool {
        !matches!(self, Self::Nowhere(_))
    }

    /// Makes it if it isn't there and isn't the host's own.
    ///
    /// # Errors
    /// `System` if it isn't there and can't be made.
    pub(super) fn ensure(&self, makers: &Makers, netlink: &Netlink) -> Result<()> {
        if netlink.link(self.name())?.is_some() {
            return Ok(());
        }
        let mut batch = Batch::default();
        match self {
            Self::Given(name) => return Err(missing(name)),
            Self::Vlan { name, of, id } => {
                batch.add_vlan(name, netlink.index(of).map_err(|_| missing(of))?, *id);
                batch.set_alias(name, &makers.mark());
                netlink.run(&batch)?;
            }
            Self::Nowhere(name) => {
                make_directory(&makers.directory)?;
                netns::create(&makers.directory.join(name), None, |inside| {
                    batch.add_cable_to(name, END, inside.namespace());
                    batch.set_alias(name, &makers.mark());
                    inside.host().run(&batch)?;
                    let mut end = Batch::default();
                    end.set_up(END);
                    inside.run(&end)
                })?;
            }
        }
        Ok(())
    }

    /// Takes it away if it was made by us; it is no error if it is gone.
    pub(super) fn delete(&self, makers: &Makers, netlink: &Netlink) -> Result<()> {
        let name = self.name();
        let is_ours = netlink.link(name)?.is_some_and(|link| makers.have_made(&link));
        let link = if is_ours { device::delete(netlink, name) } else { Ok(()) };
        let namespace = match self {
            Self::Nowhere(_) => netns::remove(&makers.directory.join(name)),
            Self::Given(_) | Self::Vlan { .. } => Ok(()),
        };
        to_the_end([link, namespace])
    }
}

impl Makers {
    /// Those of the manager with these settings.
    pub(in crate::network) fn of(config: &Config) -> Self {
        Self { manager: config.bridge.name.clone(), directory: config.parent_directory() }
    }

    /// The note on a link that was made to be a parent.
    fn mark(&self) -> String {
        format!("tare-parent {}", self.manager)
    }

    fn have_made(&self, link: &Link) -> bool {
        link.alias.as_deref() == Some(&self.mark())
    }

    /// Takes away what was made for parents that no network has.
    pub(in crate::network) fn sweep(
        &self,
        netlink: &Netlink,
        parents: &HashSet<String>,
    ) -> Result<()> {
        let links = netlink.links()?;
        let links =
            links.iter().filter(|link| self.have_made(link) && !parents.contains(&link.name));
        let held = match self.directory.is_dir() {
            true => file_names(&self.directory)?,
            false => Vec::new(),
        };
        let held = held.iter().filter(|name| !parents.contains(*name));
        to_the_end(
            links
                .map(|link| device::delete(netlink, &link.name))
                .chain(held.map(|name| netns::remove(&self.directory.join(name)))),
        )
    }
}

/// The interface and the number that a name like `eth0.10` means.
fn vlan_of(name: &str) -> Result<(String, u16)> {
    if !name.contains('.') {
        return Err(Error::system(format!(
            "invalid subinterface vlan name {name}, example formatting is eth0.10"
        )));
    }
    let (of, id) = match name.split('.').collect::<Vec<_>>()[..] {
        [of, id] => (of, id),
        _ => {
            return Err(Error::system(format!(
                "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead \
                 received {name}"
            )));
        }
    };
    let number: i64 = id.parse().map_err(|_| {
        Error::system(format!(
            "unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)"
        ))
    })?;
    match u16::try_from(number) {
        Ok(id) if (1..=4094).contains(&id) => Ok((of.to_owned(), id)),
        _ => Err(Error::system(format!("vlan id must be between 1-4094, received: {number}"))),
    }
}

fn missing(name: &str) -> Error {
    Error::system(format!("the requested parent interface {name} was not found on this host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_number_means_a_vlan() {
        assert_eq!(vlan_of("eth0.10").unwrap(), ("eth0".to_owned(), 10));
        let said = |name: &str| vlan_of(name).unwrap_err().to_string();
        assert!(said("eth0").ends_with("example formatting is eth0.10"));
        assert!(said("eth0.1.2").ends_with("instead received eth0.1.2"));
        assert!(said("eth0.x").starts_with("unable to parse a valid vlan id from: x"));
        for id in ["0", "4095", "-1", "70000"] {
            let name = format!("eth0.{id}");
            assert_eq!(said(&name), format!("vlan id must be between 1-4094, received: {id}"));
        }
    }
}

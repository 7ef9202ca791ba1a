//! Networks that are only what others are made from: docker's `--config-only` and `--config-from`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::create::{NewNetwork, families};
use super::driver::Plan;
use super::family::ByFamily;
use super::known::{Definition, Network};
use super::{Networks, identity, ipam, open};
use crate::error::{Error, Kind, Result};

impl Networks {
    /// A network that others can be made from.
    pub(super) fn define_template(&self, new: NewNetwork) -> Result<Network> {
        if new.config_from.is_some() {
            return refuse(
                "a configuration network cannot depend on another configuration network",
            );
        }
        if new.internal || new.attachable {
            return refuse(
                "configuration network can only contain network specific fields. Network operator \
                 fields like [ ingress | internal | attachable | scope ] are not supported.",
            );
        }
        let families = families(&new, &new.options)?;
        ipam::check(&families, &new.ipam.pools)?;
        let definition = Definition {
            id: identity::random(),
            name: new.name,
            created: Timestamp::now(),
            labels: new.labels,
            options: new.options,
            ipam: new.ipam,
            families,
            attachable: false,
            plan: Plan::Template,
            subnets: Vec::new(),
            config_from: None,
        };
        Ok(open::defined(definition, &self.config))
    }

    /// A network that a user wants, with what the one says that it is made from.
    pub(super) fn filled_in(&self, new: NewNetwork) -> Result<NewNetwork> {
        let Some(name) = &new.config_from else { return Ok(new) };
        check_says_nothing(&new)?;
        let missing = || Error::not_found(format!("configuration network {name:?} does not exist"));
        let template = self.network(name).map_err(|_| missing())?;
        let Some(definition) = template.definition.as_ref().filter(|_| template.is_template())
        else {
            return Err(missing());
        };
        let ByFamily { ipv4, ipv6 } = definition.families;
        Ok(NewNetwork {
            families: ByFamily { ipv4: Some(ipv4), ipv6: Some(ipv6) },
            labels: definition.labels.clone(),
            options: definition.options.clone(),
            ipam: definition.ipam.clone(),
            config_from: Some(template.name.clone()),
            ..new
        })
    }

    /// Refuses to remove a network that others were made from.
    pub(super) fn check_unneeded(&self, network: &Network) -> Result<()> {
        let made_from_it = |other: &Network| {
            let from = other.definition.as_ref().and_then(|other| other.config_from.as_deref());
            from == Some(network.name.as_str())
        };
        match network.is_template() && self.networks().values().any(|other| made_from_it(other)) {
            true => refuse(&format!("configuration network {:?} is in use", network.name)),
            false => Ok(()),
        }
    }
}

/// What is said of a network that is made from another is said there.
fn check_says_nothing(new: &NewNetwork) -> Result<()> {
    let has_families = new.families.ipv4 == Some(false) || new.families.ipv6 == Some(true);
    let has_ipam = !new.ipam.pools.is_empty()
        || new.ipam.options.as_ref().is_some_and(|options| !BTreeMap::is_empty(options));
    if has_families || has_ipam || !new.labels.is_empty() {
        return refuse(
            "user-specified configurations are not supported if the network depends on a \
             configuration network",
        );
    }
    match new.options.is_empty() {
        true => Ok(()),
        false => refuse(
            "network driver options are not supported if the network depends on a configuration \
             network",
        ),
    }
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(Kind::Forbidden, why))
}

//! Removing networks.

use std::sync::PoisonError;

use super::known::DEFINITIONS;
use super::{Networks, create};
use crate::error::{Error, Kind, Result};

impl Networks {
    pub(super) fn remove_now(&self, name_or_id: &str) -> Result<()> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let network = self.network(name_or_id)?;
        if network.definition.is_none() {
            return Err(Error::new(
                Kind::Forbidden,
                format!("{} is a pre-defined network and cannot be removed", network.name),
            ));
        }
        self.check_unneeded(&network)?;
        self.await_leaving(&network.id)?;
        network
            .leave(|| self.users_of(&network.id))
            .map_err(|error| error.while_doing("error while removing network"))?;
        // From here on it is gone for everybody; what is left of it is swept at the next start.
        self.networks_mut().remove(&network.id);
        self.store.write(|change| change.delete(&DEFINITIONS, &network.id))?;
        self.unmake(&network);
        self.events.publish(create::event(&network, "destroy"));
        Ok(())
    }

    /// Who is on a network, for people; none: nobody.
    fn users_of(&self, network_id: &str) -> Option<String> {
        let users: Vec<_> = self
            .sandboxes()
            .values()
            .filter_map(|held| {
                let sandbox = held.sandbox();
                let endpoint = sandbox.endpoint(network_id)?;
                let name = endpoint.names.first().unwrap_or(&held.container);
                let id: String = endpoint.endpoint_id.chars().take(12).collect();
                Some(format!("name:\"{name}\" id:\"{id}\""))
            })
            .collect();
        (!users.is_empty()).then(|| users.join(", "))
    }
}

//! Links by docker's names for them: the container that has it, a slash, and what the other is called
//! there.

use std::sync::Arc;

use super::Containers;
use super::record::Container;
use super::work::to_the_end;
use crate::error::{Error, Result};

impl Containers {
    /// The container that `parent` knows as `alias`.
    ///
    /// # Errors
    /// Not found if there is no such link.
    pub fn find_linked(&self, parent: &str, alias: &str) -> Result<Arc<Container>> {
        let of = self.find(parent)?;
        match of.host.links.iter().find(|link| link.alias == alias) {
            Some(link) => self.find(&link.target),
            None => Err(Error::not_found(format!("No such container: {parent}/{alias}"))),
        }
    }

    /// Takes away a link. Who runs is told nothing new before its next start.
    ///
    /// # Errors
    /// Not found if there is no such link; conflict for a container's own name.
    pub async fn unlink(self: &Arc<Self>, name: &str) -> Result<()> {
        let name = name.trim_start_matches('/');
        let Some((parent, alias)) = name.rsplit_once('/') else {
            self.find(name)?;
            return Err(Error::conflict(
                "Conflict, cannot remove the default link name of the container",
            ));
        };
        let (name, alias) = (name.to_owned(), alias.to_owned());
        let (containers, entry) = (Arc::clone(self), self.index.find(parent)?);
        to_the_end(async move {
            let _doing = entry.doing.lock().await;
            let mut container = Container::clone(&*entry.container());
            containers.index.get(&container.id)?;
            let before = container.host.links.len();
            container.host.links.retain(|link| link.alias != alias);
            if container.host.links.len() == before {
                return Err(Error::not_found(format!("No such container: {name}")));
            }
            entry.publish(containers.save(container).await?);
            Ok(())
        })
        .await
    }
}

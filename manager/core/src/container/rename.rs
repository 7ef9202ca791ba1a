//! Giving containers another name.

use std::sync::Arc;

use super::id::ContainerId;
use super::record::Container;
use super::work::to_the_end;
use super::{Containers, announce, name};
use crate::error::{Error, Result};

impl Containers {
    /// Gives a container another name.
    ///
    /// # Errors
    /// Conflict if another container has it, invalid if it is none or the same.
    pub async fn rename(self: &Arc<Self>, id: &ContainerId, to: &str) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        let to = to.trim().to_owned();
        to_the_end(async move {
            if to.trim_start_matches('/').is_empty() {
                return Err(Error::invalid("Neither old nor new names may be empty"));
            }
            let slashed = if to.starts_with('/') { to } else { format!("/{to}") };
            let wanted = name::check(&slashed)
                .map_err(|error| error.while_doing("Error when allocating new name"))?;
            let _doing = entry.doing.lock().await;
            let container = entry.container();
            // It may have been removed while we waited for our turn; a record would bring it back.
            containers.index.get(&container.id)?;
            if container.name == wanted {
                return Err(Error::invalid(
                    "Renaming a container with the same name as its current name",
                ));
            }
            let reservation = containers
                .index
                .reserve(Some(wanted), &container.id)
                .map_err(|error| error.while_doing("Error when allocating new name"))?;
            let mut renamed = Container { name: wanted.to_owned(), ..(*container).clone() };
            if let Some(sandbox) = containers.call_by_new_name(&renamed).await? {
                renamed.network = Some(sandbox);
            }
            let renamed = containers.save(renamed).await?;
            reservation.keep();
            entry.publish(Arc::clone(&renamed));
            containers.index.release(&container.name);
            let event =
                announce::event(&renamed, "rename").with("oldName", format!("/{}", container.name));
            containers.events.publish(event);
            Ok(())
        })
        .await
    }
}

//! A container's networks, and the files that say who it is there.

use std::path::PathBuf;
use std::sync::Arc;

use tare_proto::record::FILE_NAME;

use crate::container::link::Linked;
use crate::container::modes::NetworkMode;
use crate::container::record::Container;
use crate::container::undo::Undo;
use crate::container::work::blocking;
use crate::container::{Containers, announce, files, membership, publishing};
use crate::error::Result;
use crate::network::{Connect, Connected, Reservation, Sandbox};

impl Containers {
    /// Connects the container to its networks, unless it shares another container's.
    pub(super) async fn connect(
        &self,
        container: &Container,
        user_namespace: Option<PathBuf>,
        undo: &mut Undo,
    ) -> Result<(Option<Sandbox>, Vec<Reservation>)> {
        if let NetworkMode::Container(_) = &container.host.network_mode {
            return Ok((None, Vec::new()));
        }
        let connected = self
            .connect_all(container, user_namespace)
            .await
            .map_err(|error| error.while_doing("failed to set up container networking"))?;
        let (networks, id) = (Arc::clone(&self.networks), container.id.to_string());
        undo.push("disconnect from the networks", async move { networks.disconnect(&id).await });
        for endpoint in &connected.sandbox.endpoints {
            self.events.publish(announce::network_event(container, endpoint, "connect"));
        }
        Ok((Some(connected.sandbox), connected.reservations))
    }

    pub(in crate::container) async fn connect_all(
        &self,
        container: &Container,
        user_namespace: Option<PathBuf>,
    ) -> Result<Connected> {
        let memberships = container.memberships();
        for (name, wanted) in &memberships {
            membership::check(&self.networks.find(name)?, wanted)?;
            membership::check_together(name, memberships.keys().map(String::as_str))?;
        }
        self.networks
            .connect(Connect {
                container: container.id.to_string(),
                name: container.name.clone(),
                user_namespace,
                wishes: container.wishes(self.main_network(container).as_deref())?,
                ports: publishing::requests(container),
                name_servers: files::name_servers(container, &self.config),
                forwarding: files::forwarding(container, &self.config),
            })
            .await
    }

    pub(super) async fn write_files(
        &self,
        container: &Container,
        sandbox: Option<&Sandbox>,
        linked: &[Linked],
    ) -> Result<()> {
        // What the last run recorded must not be taken for this one's.
        let record = container.directory.join(FILE_NAME);
        blocking(move || {
            let _ = std::fs::remove_file(record);
            Ok(())
        })
        .await?;
        if matches!(container.host.network_mode, NetworkMode::Container(_)) {
            return Ok(());
        }
        let (files, config) = (self.files_of(container), Arc::clone(&self.config));
        if let Some(sandbox) = sandbox {
            self.tell_linked(container, sandbox).await?;
        }
        let host = self.networks.host_gateways();
        let (container, sandbox) = (container.clone(), sandbox.cloned());
        let linked = linked.to_vec();
        blocking(move || files.write(&container, sandbox.as_ref(), &linked, &host, &config)).await
    }
}

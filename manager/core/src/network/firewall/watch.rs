//! Laying the table again when someone else has deleted it, or rules of it.
//!
//! Firewalls are reloaded by `nft flush ruleset` more often than not, and that takes our table too:
//! containers would be open to the world, and their ports closed. The kernel tells who listens
//! whenever a table or a rule is deleted. Laying ours deletes it, too; but then all of it is there
//! again when this looks, so that nothing follows.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::Firewall;
use super::elements::is_deletion_of;
use super::shape::is_loss_of;
use crate::error::{Error, Result};
use crate::network::kernel::subscription::{News, Subscription};

/// How long after the table was laid again it isn't another time: who deletes it again and again
/// shall not keep the host busy.
const REST: Duration = Duration::from_secs(1);
/// How often laying it is tried, after pauses that double from [`REST`] on.
const TRIES: u32 = 6;

/// Watches over a table, for as long as this exists.
pub(in crate::network) struct Watch {
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch over the table of `firewall`, in the calling thread's network namespace.
    /// Must be called where there is a reactor.
    pub(in crate::network) fn over(firewall: &Arc<Firewall>) -> Result<Self> {
        let group = libc::NFNLGRP_NFTABLES as u32;
        let subscription = Subscription::open(libc::NETLINK_NETFILTER, group)?;
        let task = tokio::spawn(watch(Arc::clone(firewall), subscription));
        Ok(Self { task })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(firewall: Arc<Firewall>, subscription: Subscription) {
    let table = firewall.table();
    loop {
        match subscription.next().await {
            Ok(News::Told(messages)) => {
                let is_harm = |(kind, body): &(u16, Vec<u8>)| {
                    is_deletion_of(&table, *kind, body) || is_loss_of(&table, *kind, body)
                };
                if !messages.iter().any(is_harm) {
                    continue;
                }
            }
            // What is lost may have been the deletion.
            Ok(News::Missed) => {}
            Err(error) => {
                tracing::error!(table, %error, "nobody watches over the packet filter any more");
                return;
            }
        }
        restore(&firewall, &table).await;
    }
}

/// Lays the table if it isn't there or isn't whole, and then rests.
async fn restore(firewall: &Arc<Firewall>, table: &str) {
    let mut pause = REST;
    for _ in 0..TRIES {
        let firewall = Arc::clone(firewall);
        let work = spawn_blocking(move || firewall.restore()).await;
        match work.unwrap_or_else(|error| Err(Error::system(error.to_string()))) {
            Ok(false) => return,
            Ok(true) => {
                sleep(REST).await;
                return;
            }
            Err(error) => {
                tracing::error!(table, %error, "the packet filter's table was deleted");
                sleep(pause).await;
                pause *= 2;
            }
        }
    }
    tracing::error!(table, "containers are open to the network until one is started, or tared is");
}

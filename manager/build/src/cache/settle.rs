//! From memory to the disk, and away from there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tare_core::build::Stack;
use tare_core::image::{ChainId, Layer};

use super::key::Key;
use super::prune::{Disk, chosen};
use super::results::Record;
use super::usage::{Policy, Prune, Usage, UsageKind};
use super::{Cache, RESULTS};
use crate::error::{Error, Result};
use crate::session::contexts::ContextUsage;

/// How long after a build its results go to the disk: an image that is made of them goes first.
const SOON: Duration = Duration::from_millis(500);
/// Letters of a name that docker shows.
const ID_LENGTH: usize = 25;

/// Something that may go.
enum Thing {
    Result(Key),
    Mount(u64),
    Context(String),
}

impl Cache {
    /// Makes what is in memory durable, a moment later, and lets go what the rules don't allow. Nobody
    /// waits for it.
    pub(crate) fn settle_soon(self: &Arc<Self>) {
        if self.settling.swap(true, Ordering::AcqRel) {
            return;
        }
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            cache.settling.store(false, Ordering::Release);
            if let Err(error) = cache.settle().await {
                tracing::warn!(%error, "results of builds are not kept");
            }
            if let Err(error) = cache.enforce().await {
                tracing::warn!(%error, "the cache of builds may be larger than it should be");
            }
        });
    }

    /// Makes what is in memory durable.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub async fn settle(&self) -> Result<()> {
        let _alone = self.changes.lock().await;
        let (new, touched): (Vec<_>, Vec<_>) = {
            let results = self.lock();
            let unsaved = results.iter().filter(|(_, entry)| !entry.saved);
            let unsaved =
                unsaved.map(|(key, entry)| (*key, entry.value.clone(), entry.record.clone()));
            unsaved.partition(|(_, _, record)| record.layers.is_empty())
        };
        if new.is_empty() && touched.is_empty() {
            return Ok(());
        }
        let stacks: Vec<Stack> = new.iter().map(|(_, stack, _)| stack.clone()).collect();
        let kept =
            if stacks.is_empty() { Vec::new() } else { self.engine.builds.keep(&stacks).await? };
        let mut durable = Vec::with_capacity(new.len());
        for ((key, _, _), stack) in new.into_iter().zip(kept) {
            let layers = stack.layers().await?;
            durable.push((key, stack, layers));
        }
        let records = self.records(durable, touched.into_iter().map(|(key, ..)| key));
        let store = Arc::clone(&self.engine.store);
        let write = move || {
            store.write(|change| {
                records
                    .iter()
                    .try_for_each(|(key, record)| change.put(&RESULTS, &key.to_string(), record))
            })
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|error| Error::system(format!("record results: {error}")))??;
        Ok(())
    }

    /// What is to be recorded: what is durable now, and what has been used.
    fn records(
        &self,
        durable: Vec<(Key, Stack, Vec<Layer>)>,
        touched: impl Iterator<Item = Key>,
    ) -> Vec<(Key, Record)> {
        let mut results = self.lock();
        let mut records = Vec::new();
        for (key, stack, layers) in durable {
            let Some(entry) = results.get_mut(key) else { continue };
            entry.record.size = layers.last().map_or(0, |layer| layer.size);
            entry.record.layers = layers;
            (entry.value, entry.saved) = (stack, true);
            records.push((key, entry.record.clone()));
        }
        for key in touched {
            let Some(entry) = results.get_mut(key) else { continue };
            entry.saved = true;
            records.push((key, entry.record.clone()));
        }
        records
    }

    /// All that is kept.
    ///
    /// # Errors
    /// What a build has just made can't be made durable.
    pub async fn usage(&self) -> Result<Vec<Usage>> {
        self.settle().await?;
        Ok(self.things().into_iter().map(|(_, usage)| usage).collect())
    }

    /// Lets go what may go, and says what went.
    ///
    /// # Errors
    /// The records can't be changed.
    pub async fn prune(&self, prune: Prune<'_>) -> Result<Vec<Usage>> {
        self.settle().await?;
        let _alone = self.changes.lock().await;
        let mut things: Vec<Option<(Thing, Usage)>> = self.things().into_iter().map(Some).collect();
        let usages: Vec<Usage> = things.iter().flatten().map(|(_, usage)| usage.clone()).collect();
        let disk = Disk { free: self.mounts.free_space()? };
        let chosen = chosen(&usages, &prune, disk, Timestamp::now());
        let going: Vec<_> = chosen.into_iter().filter_map(|index| things[index].take()).collect();
        if going.is_empty() {
            return Ok(Vec::new());
        }
        self.remove(going).await
    }

    /// Keeps the rules.
    async fn enforce(&self) -> Result<()> {
        for policy in &self.policies {
            let holds = |usage: &Usage| policy.is_about(usage);
            self.prune(Prune {
                holds: Some(&holds),
                all: policy.all,
                unused_for: policy.unused_for,
                reserved: policy.reserved,
                most: policy.most,
                free: policy.free,
            })
            .await?;
        }
        Ok(())
    }

    async fn remove(&self, going: Vec<(Thing, Usage)>) -> Result<Vec<Usage>> {
        let mut gone = Vec::with_capacity(going.len());
        let (mut names, mut stacks) = (Vec::new(), Vec::new());
        for (thing, usage) in going {
            match thing {
                Thing::Result(key) => {
                    let mut results = self.lock();
                    // A build may have found it meanwhile.
                    if results.get_mut(key).is_none_or(|entry| entry.is_in_use()) {
                        continue;
                    }
                    stacks.extend(results.remove(key).map(|entry| entry.value));
                    names.push(key.to_string());
                }
                Thing::Mount(number) => {
                    if !self.mounts.remove(number).await? {
                        continue;
                    }
                }
                Thing::Context(id) => {
                    if !self.contexts.remove(&id) {
                        continue;
                    }
                }
            }
            gone.push(usage);
        }
        let store = Arc::clone(&self.engine.store);
        let write = move || {
            store.write(|change| names.iter().try_for_each(|name| change.delete(&RESULTS, name)))
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|error| Error::system(format!("forget results: {error}")))??;
        drop(stacks);
        self.engine.builds.collect().await;
        Ok(gone)
    }

    /// The layers that images have.
    fn layers_of_images(&self) -> HashSet<ChainId> {
        let images = self.engine.images.list();
        let layers = images.iter().flat_map(|image| &image.layers);
        layers.map(|layer| layer.chain_id).collect()
    }

    fn things(&self) -> Vec<(Thing, Usage)> {
        let shared: HashSet<ChainId> = self.layers_of_images();
        let mut things: Vec<(Thing, Usage)> = {
            let results = self.lock();
            let ids: BTreeMap<Key, String> =
                results.iter().map(|(key, _)| (*key, id_of(*key))).collect();
            let all = results.iter().map(|(key, entry)| {
                let record = &entry.record;
                let top = record.layers.last().map(|layer| layer.chain_id);
                let usage = Usage {
                    id: ids[key].clone(),
                    mutable: false,
                    in_use: entry.is_in_use(),
                    size: record.size,
                    parents: record
                        .parent
                        .and_then(|key| ids.get(&key).cloned())
                        .into_iter()
                        .collect(),
                    created: record.created,
                    last_used: Some(record.last_used),
                    times_used: record.times_used,
                    description: record.title.clone(),
                    kind: UsageKind::Regular,
                    shared: top.is_some_and(|top| shared.contains(&top)),
                };
                (Thing::Result(*key), usage)
            });
            all.collect()
        };
        let mounts = self.mounts.usage();
        things.extend(mounts.into_iter().map(|(number, usage)| (Thing::Mount(number), usage)));
        let contexts = self.contexts.usage();
        things.extend(contexts.into_iter().map(|of| (Thing::Context(of.id.clone()), context(of))));
        things
    }
}

/// What is told of a client's context.
fn context(of: ContextUsage) -> Usage {
    Usage {
        id: id_of(super::KeyOf::new("context").with("id", of.id).key()),
        mutable: true,
        in_use: of.in_use,
        size: of.size,
        parents: Vec::new(),
        created: of.created,
        last_used: Some(of.last_used),
        times_used: of.times_used,
        description: format!("local source for {}", of.name),
        kind: UsageKind::Local,
        shared: false,
    }
}

impl Policy {
    /// Whether a rule is about something. Each of its filters is a kind that it may be of.
    fn is_about(&self, usage: &Usage) -> bool {
        self.filters.is_empty()
            || self.filters.iter().any(|filter| {
                filter.strip_prefix("type==").is_some_and(|kind| kind == usage.kind.name())
            })
    }
}

/// The name of a result: letters and digits, as docker has them.
pub(super) fn id_of(key: Key) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let hex = key.0.hex();
    let mut bits = hex.bytes().flat_map(|digit| {
        let value = char::from(digit).to_digit(16).unwrap_or(0);
        (0..4).map(move |bit| (value >> (3 - bit)) & 1)
    });
    let letter = |_| {
        let index = bits.by_ref().take(5).fold(0, |value, bit| value << 1 | bit);
        char::from(LETTERS[index as usize % LETTERS.len()])
    };
    (0..ID_LENGTH).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyOf;
    use super::*;

    #[test]
    fn names_of_results_look_as_docker_has_them() {
        let id = id_of(KeyOf::new("a").key());
        assert_eq!(id.len(), ID_LENGTH);
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
        assert_ne!(id, id_of(KeyOf::new("b").key()));
    }
}

//! Keys of all steps, found out before anything is done.

use tare_core::Kind;
use tare_dockerfile::plan::{Base, Item, Operation, Origin, StageId, Work};

use super::Stages;
use super::needed::{self, Needed};
use crate::cache::Key;
use crate::error::{Error, Result};
use crate::progress::Vertex;
use crate::solve::contexts::Named;
use crate::solve::keys::{self, Surroundings};
use crate::step;
use crate::tree::Tree;

/// What is known of a stage's keys by now.
#[derive(Default)]
pub(super) struct Keys {
    /// That of what it begins with.
    base: Option<Result<Key>>,
    /// Those of its steps, one after the other.
    steps: Vec<Result<StepKey>>,
}

/// The key of a step.
#[derive(Debug, Clone)]
pub(super) struct StepKey {
    pub(super) key: Key,
    /// What its sources are known by.
    pub(super) sources: Vec<String>,
}

/// What is done when digests are found out.
const KEYING: &str = "failed to compute cache key";

impl Stages<'_> {
    /// Finds out the keys of a stage. What goes wrong is for whoever needs them.
    pub(super) async fn find_keys(&self, id: StageId) -> Result<()> {
        let node = self.node(id)?;
        let base = self.base_key(id).await;
        let mut below = base.clone();
        node.keys.send_modify(|keys| keys.base = Some(base));
        for index in 0..node.stage.operations.len() {
            let found = match below {
                Ok(below) => self.step_key(id, index, below).await,
                Err(error) => Err(error),
            };
            below = found.as_ref().map(|step| step.key).map_err(Clone::clone);
            node.keys.send_modify(|keys| keys.steps.push(found));
        }
        Ok(())
    }

    /// The key after so many steps of a stage.
    pub(super) async fn key_after(&self, id: StageId, steps: usize) -> Result<Key> {
        match steps.checked_sub(1) {
            Some(last) => self.key_of(id, last).await.map(|step| step.key),
            None => {
                let mut keys = self.node(id)?.keys.subscribe();
                let known = keys.wait_for(|keys| keys.base.is_some()).await;
                let base = known.ok().and_then(|keys| keys.base.clone());
                base.unwrap_or_else(|| Err(Error::cancelled()))
            }
        }
    }

    /// The key of a step.
    pub(super) async fn key_of(&self, id: StageId, index: usize) -> Result<StepKey> {
        let mut keys = self.node(id)?.keys.subscribe();
        let known = keys.wait_for(|keys| keys.steps.len() > index).await;
        let step = known.ok().and_then(|keys| keys.steps.get(index).cloned());
        step.unwrap_or_else(|| Err(Error::cancelled()))
    }

    async fn base_key(&self, id: StageId) -> Result<Key> {
        let stage = self.node(id)?.stage;
        let platform = &stage.platform;
        match &stage.base {
            Base::Nothing => Ok(keys::of_nothing(platform)),
            Base::Stage(base) => {
                self.key_after(*base, self.node(*base)?.stage.operations.len()).await
            }
            Base::Image { .. } => Ok(keys::of_layers(self.image(id)?.top.as_deref(), platform)),
            Base::Context { name, value } => match self.build.named(name, value, platform).await? {
                Named::Nothing => Ok(keys::of_nothing(platform)),
                Named::Image(image) => Ok(keys::of_layers(image.top.as_deref(), platform)),
                Named::Part(part, _) => match part.made.last() {
                    Some(last) => Ok(last.key),
                    None => {
                        let top = part.stack.top().await?.map(|top| top.to_string());
                        Ok(keys::of_layers(top.as_deref(), platform))
                    }
                },
                Named::Files(tree) => {
                    let all = needed::whole(Origin::Context, "/");
                    Ok(keys::of_files(&digest(&tree, &all, &[]).await?, platform))
                }
            },
        }
    }

    async fn step_key(&self, id: StageId, index: usize, below: Key) -> Result<StepKey> {
        let (operation, vertex) = self.node(id)?.step(index)?;
        let mut sources = Vec::new();
        for needed in needed::sources(operation) {
            sources.push(self.source(&needed, operation, vertex).await?);
        }
        let key = self.work_key(id, operation, below, Some(&sources))?;
        Ok(StepKey { key, sources })
    }

    /// The key of a step's work upon something.
    pub(super) fn work_key(
        &self,
        id: StageId,
        operation: &Operation,
        below: Key,
        sources: Option<&[String]>,
    ) -> Result<Key> {
        let request = &self.build.request;
        let around = Surroundings { attrs: &request.attrs, limits: &request.limits };
        let platform = &self.node(id)?.stage.platform;
        Ok(keys::of_work(&operation.work, below, platform, &around, sources))
    }

    /// What a source is known by: contexts by what is in them, stages by what made them.
    async fn source(
        &self,
        needed: &Needed<'_>,
        operation: &Operation,
        vertex: &Vertex,
    ) -> Result<String> {
        match needed {
            Needed::Files(Origin::Stage(stage), item) => match self.own_files(*stage).await? {
                Some(tree) => self.digest_for(&tree, item, operation, vertex).await,
                None => {
                    let steps = self.node(*stage)?.stage.operations.len();
                    let key = self.key_after(*stage, steps).await?;
                    Ok(format!("stage {key}"))
                }
            },
            Needed::Files(Origin::Context, item) => {
                let context = self.build.context(&self.plan.context).await?;
                self.digest_for(&context, item, operation, vertex).await
            }
            Needed::Fetched(item) => {
                let fetched = self.build.fetched(item).await;
                Ok(fetched.map_err(|error| self.failed(error, operation, vertex))?.digest)
            }
        }
    }

    /// The files of a stage that is nothing but a directory.
    async fn own_files(&self, id: StageId) -> Result<Option<Tree>> {
        let stage = self.node(id)?.stage;
        match &stage.base {
            Base::Context { name, value } if stage.operations.is_empty() => {
                match self.build.named(name, value, &stage.platform).await? {
                    Named::Files(tree) => Ok(Some(tree)),
                    Named::Nothing | Named::Image(_) | Named::Part(..) => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The digest of what an operation takes of a tree.
    pub(super) async fn digest_for(
        &self,
        tree: &Tree,
        item: &Item,
        operation: &Operation,
        vertex: &Vertex,
    ) -> Result<String> {
        let exclude = match &operation.work {
            Work::Copy(copying) => copying.exclude.as_slice(),
            Work::Run(_) | Work::Make(_) => &[],
        };
        let digest = digest(tree, item, exclude).await;
        digest.map_err(|error| {
            let error = match error.kind {
                Kind::NotFound => without_checksum(error, vertex),
                _ => error.while_doing(KEYING),
            };
            self.failed(error, operation, vertex)
        })
    }

    /// A step that can't be done, since what it takes can't be had.
    pub(super) fn failed(&self, error: Error, operation: &Operation, vertex: &Vertex) -> Error {
        vertex.start();
        vertex.failed(&error);
        error.in_vertex(vertex.id()).at(&self.build.definition.file, operation.lines)
    }
}

/// What is said of a source that isn't there: clients match on it.
pub(in crate::solve) fn without_checksum(error: Error, vertex: &Vertex) -> Error {
    let of = vertex.id().as_str().trim_start_matches("sha256:");
    let (one, other) = (of.get(..25).unwrap_or(of), of.get(25..50).unwrap_or_default());
    error
        .while_doing(format!("failed to calculate checksum of ref {one}::{other}"))
        .while_doing(KEYING)
}

/// The digest of files, found out in a thread of its own.
async fn digest(tree: &Tree, item: &Item, exclude: &[String]) -> Result<String> {
    let (tree, item, exclude) = (tree.clone(), item.clone(), exclude.to_vec());
    let found = tokio::task::spawn_blocking(move || step::digest(&tree, &item, &exclude)).await;
    let found = found.map_err(|error| Error::system(format!("look at files: {error}")))?;
    Ok(found?.to_string())
}

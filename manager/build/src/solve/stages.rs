//! The stages of a plan: done at the same time where they don't need each other, and none that nobody
//! needs.
//!
//! Each stage has two lives. Its keys are found out first, step by step, which takes no more than
//! what its contexts are: nothing is made for it. Its steps are done only when somebody wants what it
//! ends with: the build itself, or a step of another stage that no result is known of. So a stage of
//! which all is known that others take from it is never begun.

mod keying;
mod needed;
mod working;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tare_core::build::Stack;
use tare_dockerfile::plan::{Base, Operation, Plan, PlannedStage, StageId};
use tokio::sync::{OnceCell, watch};

use super::build::Build;
use super::built::{Made, Part};
use super::images::Resolved;
use crate::cache::Key;
use crate::error::{Error, Result};
use crate::progress::{Vertex, VertexId};
use crate::tree::Tree;
use keying::Keys;
pub(super) use keying::without_checksum;

/// All stages of a plan.
pub(super) struct Stages<'a> {
    build: &'a Build,
    plan: &'a Plan,
    /// The images that stages begin with.
    images: &'a BTreeMap<StageId, Resolved>,
    nodes: BTreeMap<StageId, Node<'a>>,
    /// When steps were made that are known by now, for the history.
    made: Mutex<HashMap<(StageId, usize), (Key, Timestamp)>>,
}

/// One stage.
struct Node<'a> {
    stage: &'a PlannedStage,
    /// What its base is fetched by, if that is a step.
    base: Option<Vertex>,
    /// Its steps.
    vertices: Vec<Vertex>,
    keys: watch::Sender<Keys>,
    wanted: watch::Sender<bool>,
    end: watch::Sender<Option<Result<End>>>,
    /// Its steps are shown as known, though nobody has looked for them.
    told: AtomicBool,
    /// What it ends with is made anew, or of something that is.
    is_fresh: bool,
}

/// What a stage ends with, or where it has come to.
#[derive(Clone)]
pub(super) struct End {
    pub(super) files: Files,
    /// What it is known by.
    pub(super) key: Key,
    /// It, mounted, to be looked at.
    pub(super) tree: Arc<OnceCell<Result<Tree>>>,
}

/// Files that are layers, or a directory.
#[derive(Clone)]
pub(super) enum Files {
    Stack(Stack),
    Tree(Tree),
}

impl End {
    fn of(files: Files, key: Key) -> Self {
        Self { files, key, tree: Arc::default() }
    }
}

/// What was decided, once it is.
async fn decided<T: Clone>(state: &mut watch::Receiver<Option<T>>) -> Option<T> {
    // Nothing of the state is held any longer than it takes to copy it.
    state.wait_for(Option::is_some).await.ok().and_then(|decided| decided.clone())
}

impl<'a> Stages<'a> {
    /// The stages of `plan`; all their steps are told.
    pub(super) fn new(
        build: &'a Build,
        plan: &'a Plan,
        images: &'a BTreeMap<StageId, Resolved>,
    ) -> Self {
        let mut nodes: BTreeMap<StageId, Node<'a>> = BTreeMap::new();
        for stage in &plan.stages {
            let node = Node::new(build, stage, &nodes);
            nodes.insert(stage.id, node);
        }
        Self { build, plan, images, nodes, made: Mutex::default() }
    }

    /// Does what is needed for the target. Dropped, all of it ends.
    pub(super) async fn run(&self) -> Result<Part> {
        self.want(self.plan.target);
        let mut all: FuturesUnordered<BoxFuture<'_, Result<()>>> = FuturesUnordered::new();
        for id in self.nodes.keys() {
            all.push(self.find_keys(*id).boxed());
            all.push(self.look_ahead(*id).boxed());
            all.push(self.work(*id).boxed());
        }
        let mut end = self.node(self.plan.target)?.end.subscribe();
        loop {
            tokio::select! {
                biased;
                ended = decided(&mut end) => {
                    let end = ended.unwrap_or_else(|| Err(Error::cancelled()))?;
                    self.tell_unneeded();
                    return self.part(end).await;
                }
                Some(ended) = all.next() => ended?,
            }
        }
    }

    /// Says that somebody needs what a stage ends with.
    fn want(&self, id: StageId) {
        if let Some(node) = self.nodes.get(&id) {
            node.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        }
    }

    /// What a stage ends with, which is done for it if need be.
    async fn end(&self, id: StageId) -> Result<End> {
        self.want(id);
        let mut end = self.node(id)?.end.subscribe();
        let ended = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        ended.unwrap_or_else(|| Err(Error::cancelled()))
    }

    fn node(&self, id: StageId) -> Result<&Node<'a>> {
        let missing = || Error::system("a stage is missing in the plan");
        self.nodes.get(&id).ok_or_else(missing)
    }

    /// What all has been found or made of what was needed.
    async fn part(&self, end: End) -> Result<Part> {
        let stack = self.stack(&end, self.plan.target).await?;
        let node = self.node(self.plan.target)?;
        Ok(Part {
            platform: node.stage.platform.clone(),
            stack,
            image: self.plan.image.clone(),
            base: self.plan.base_image.clone(),
            made: self.history().await?,
        })
    }

    /// The steps of the target and of all stages that it began with, in order.
    async fn history(&self) -> Result<Vec<Made>> {
        let mut chain = Vec::new();
        let mut next = Some(self.plan.target);
        while let Some(id) = next {
            chain.push(id);
            next = match self.node(id)?.stage.base {
                Base::Stage(base) => Some(base),
                _ => None,
            };
        }
        let mut made = Vec::new();
        for id in chain.into_iter().rev() {
            for (index, operation) in self.node(id)?.stage.operations.iter().enumerate() {
                let noted = self.lock().get(&(id, index)).copied();
                let (key, at) = match noted {
                    Some(noted) => noted,
                    // A later one was known, so nobody has looked for this one.
                    None => {
                        let key = self.key_after(id, index + 1).await?;
                        let found = self.build.builder.cache.find(key);
                        (key, found.map_or_else(Timestamp::now, |found| found.created))
                    }
                };
                made.push(Made { key, title: operation.title.clone(), at });
            }
        }
        Ok(made)
    }

    fn note(&self, id: StageId, index: usize, key: Key, at: Timestamp) {
        self.lock().insert((id, index), (key, at));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(StageId, usize), (Key, Timestamp)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps that nobody needed are shown as known.
    fn tell_unneeded(&self) {
        let is_untold =
            |node: &&Node<'_>| !*node.wanted.borrow() && !node.told.swap(true, Ordering::Relaxed);
        for node in self.nodes.values().filter(is_untold) {
            node.base.iter().chain(&node.vertices).for_each(Vertex::cached);
        }
    }
}

impl<'a> Node<'a> {
    /// Tells the steps of a stage, each after those that it needs.
    fn new(build: &Build, stage: &'a PlannedStage, others: &BTreeMap<StageId, Node<'a>>) -> Self {
        let base = match &stage.base {
            Base::Image { title, .. } => Some(build.journal.vertex(title, &[])),
            Base::Nothing | Base::Stage(_) | Base::Context { .. } => None,
        };
        let mut below: Option<VertexId> = match &stage.base {
            Base::Stage(base) => others.get(base).and_then(Node::last).cloned(),
            _ => base.as_ref().map(|base| base.id().clone()),
        };
        let mut is_fresh = stage.fresh;
        if let Base::Stage(base) = &stage.base {
            is_fresh |= others.get(base).is_some_and(|base| base.is_fresh);
        }
        let mut vertices = Vec::with_capacity(stage.operations.len());
        for operation in &stage.operations {
            let mut inputs: Vec<VertexId> = below.into_iter().collect();
            for source in needed::stages(&operation.work) {
                let Some(other) = others.get(&source) else { continue };
                is_fresh |= other.is_fresh;
                inputs.extend(other.last().cloned());
            }
            let vertex = build.journal.vertex(&operation.title, &inputs);
            below = Some(vertex.id().clone());
            vertices.push(vertex);
        }
        Self {
            stage,
            base,
            vertices,
            keys: watch::Sender::new(Keys::default()),
            wanted: watch::Sender::new(false),
            end: watch::Sender::new(None),
            told: AtomicBool::new(false),
            is_fresh,
        }
    }

    /// The last of its steps.
    fn last(&self) -> Option<&VertexId> {
        self.vertices.last().or(self.base.as_ref()).map(Vertex::id)
    }

    fn step(&self, index: usize) -> Result<(&'a Operation, &Vertex)> {
        let found = self.stage.operations.get(index).zip(self.vertices.get(index));
        found.ok_or_else(|| Error::system("a step is missing in the plan"))
    }
}

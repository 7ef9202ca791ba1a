//! Steps are done, or their results are found.

use std::sync::atomic::Ordering;

use tare_core::build::Stack;
use tare_dockerfile::plan::{Base, Operation, Origin, StageId};

use super::keying::StepKey;
use super::needed::{self, Needed};
use super::{End, Files, Stages};
use crate::cache::{Found, Key, NewResult};
use crate::error::{Error, Result};
use crate::progress::Vertex;
use crate::solve::contexts::Named;
use crate::solve::images::Resolved;
use crate::solve::perform::Around;
use crate::tree::Tree;

impl Stages<'_> {
    /// Begins what a stage will need that is wanted, before the stage has come to it.
    pub(super) async fn look_ahead(&self, id: StageId) -> Result<()> {
        let node = self.node(id)?;
        self.wait_until_wanted(id).await?;
        for (index, operation) in node.stage.operations.iter().enumerate() {
            // What is wrong is for who does the step to say.
            let Ok(step) = self.key_of(id, index).await else { return Ok(()) };
            if !node.is_fresh && self.build.knows(step.key) {
                continue;
            }
            if let (0, Base::Stage(base)) = (index, &node.stage.base) {
                self.want(*base);
            }
            needed::stages(&operation.work).into_iter().for_each(|stage| self.want(stage));
        }
        Ok(())
    }

    /// Does a stage, as soon as it is wanted.
    pub(super) async fn work(&self, id: StageId) -> Result<()> {
        self.wait_until_wanted(id).await?;
        let ended = self.work_through(id).await;
        let failed = ended.as_ref().err().cloned();
        self.node(id)?.end.send_replace(Some(ended));
        failed.map_or(Ok(()), Err)
    }

    async fn wait_until_wanted(&self, id: StageId) -> Result<()> {
        let mut wanted = self.node(id)?.wanted.subscribe();
        wanted.wait_for(|wanted| *wanted).await.map(drop).map_err(|_| Error::cancelled())
    }

    async fn work_through(&self, id: StageId) -> Result<End> {
        let node = self.node(id)?;
        let count = node.stage.operations.len();
        let (mut index, mut here) = self.known_elsewhere(id).await?;
        while index < count {
            let step = self.key_of(id, index).await?;
            let (operation, vertex) = node.step(index)?;
            // Upon something that was found by what is in it, the step may be known by that.
            let key = match &here {
                Some(here) => self.work_key(id, operation, here.key, Some(&step.sources))?,
                None => step.key,
            };
            let known = if node.is_fresh { None } else { self.find(&[step.key, key]).await };
            let found = match known {
                Some(found) => {
                    self.tell_known(id, index);
                    vertex.cached();
                    found
                }
                None => {
                    let below = match here {
                        Some(below) => below,
                        None => self.base(id).await?,
                    };
                    let step = StepKey { key, ..step };
                    self.step(id, index, &below, &step).await?
                }
            };
            self.build.builder.cache.also_as(found.key, step.key);
            self.note(id, index, found.key, found.created);
            self.build.uses(found.used);
            here = Some(End::of(Files::Stack(found.value), found.key));
            index += 1;
        }
        match here {
            Some(end) => Ok(end),
            None => self.base(id).await,
        }
    }

    /// Shows what a step needs as known whose result is, if nobody has shown it yet: what its stage
    /// begins with, and the stages that it takes files from.
    fn tell_known(&self, id: StageId, index: usize) {
        let Some(node) = self.nodes.get(&id) else { return };
        if index == 0 {
            match (&node.stage.base, &node.base) {
                (Base::Stage(base), _) => self.tell_all_known(*base),
                (_, Some(base)) => base.cached(),
                (_, None) => {}
            }
        }
        if let Some(operation) = node.stage.operations.get(index) {
            needed::stages(&operation.work).into_iter().for_each(|id| self.tell_all_known(id));
        }
    }

    /// The same for all of a stage that nobody wants.
    fn tell_all_known(&self, id: StageId) {
        let mut ahead = vec![id];
        while let Some(id) = ahead.pop() {
            let Some(node) = self.nodes.get(&id) else { continue };
            if *node.wanted.borrow() || node.told.swap(true, Ordering::Relaxed) {
                continue;
            }
            node.base.iter().chain(&node.vertices).for_each(Vertex::cached);
            if let Base::Stage(base) = &node.stage.base {
                ahead.push(*base);
            }
            let operations = node.stage.operations.iter();
            ahead.extend(operations.flat_map(|operation| needed::stages(&operation.work)));
        }
    }

    /// The last step of a stage that other builders know the result of, and how many steps that
    /// saves.
    async fn known_elsewhere(&self, id: StageId) -> Result<(usize, Option<End>)> {
        let node = self.node(id)?;
        if self.build.imports.is_empty() || node.is_fresh {
            return Ok((0, None));
        }
        for index in (0..node.stage.operations.len()).rev() {
            let Ok(step) = self.key_of(id, index).await else { continue };
            let Some(found) = self.find(&[step.key]).await else { continue };
            for (step, vertex) in node.vertices.iter().enumerate().take(index + 1) {
                self.tell_known(id, step);
                vertex.cached();
            }
            self.note(id, index, found.key, found.created);
            self.build.uses(found.used);
            return Ok((index + 1, Some(End::of(Files::Stack(found.value), found.key))));
        }
        Ok((0, None))
    }

    /// A result that is known by one of these keys.
    async fn find(&self, keys: &[Key]) -> Option<Found<Stack>> {
        let cache = &self.build.builder.cache;
        let here = keys.iter().find_map(|key| cache.find(*key));
        if let Some(found) = here {
            return self.build.may_use(found).await;
        }
        for key in keys {
            if let Some(stack) = self.build.imports.bring(*key).await {
                let title = "imported from another builder".to_owned();
                let new = NewResult { value: stack, title, parent: None, outline: None };
                return Some(cache.insert(*key, new));
            }
        }
        None
    }

    /// Does a step, unless it turns out to be known by what its sources are.
    async fn step(
        &self,
        id: StageId,
        index: usize,
        below: &End,
        step: &StepKey,
    ) -> Result<Found<Stack>> {
        let node = self.node(id)?;
        let (operation, vertex) = node.step(index)?;
        let below_stack = self.stack(below, id).await?;
        let sources = self.trees(operation).await?;
        let cache = &self.build.builder.cache;
        let outline = match needed::stages(&operation.work).is_empty() {
            true => None,
            false => Some(self.work_key(id, operation, below.key, None)?),
        };
        let mut by_content = None;
        if let Some(outline) = outline
            && (cache.knows_outline(outline) || !self.build.imports.is_empty())
        {
            let key = self.content_key(id, operation, vertex, below.key, step).await?;
            if !node.stage.fresh
                && let Some(found) = self.find(&[key]).await
            {
                vertex.cached();
                return Ok(found);
            }
            by_content = Some(key);
        }
        let _turn = cache.turns.wait(step.key).await;
        // Another build may have done it meanwhile.
        if !node.is_fresh
            && let Some(found) = self.find(&[step.key]).await
        {
            vertex.cached();
            return Ok(found);
        }
        let around =
            Around { stages: &sources, context: &self.plan.context, proxies: &self.plan.proxies };
        let work = self.build.perform(operation, &below_stack, &around, vertex);
        let placed = vertex.run(work).await;
        let value =
            placed.map_err(|error| error.at(&self.build.definition.file, operation.lines))?;
        let title = operation.title.clone();
        let new = NewResult { value, title, parent: Some(below.key), outline };
        let found = match node.is_fresh {
            true => cache.replace(step.key, new),
            false => cache.insert(step.key, new),
        };
        if outline.is_some() {
            let key = match by_content {
                Some(key) => key,
                None => self.content_key(id, operation, vertex, below.key, step).await?,
            };
            cache.also_as(found.key, key);
        }
        Ok(found)
    }

    /// The key of a step by what its sources are, whatever made them.
    async fn content_key(
        &self,
        id: StageId,
        operation: &Operation,
        vertex: &Vertex,
        below: Key,
        step: &StepKey,
    ) -> Result<Key> {
        let mut sources = Vec::with_capacity(step.sources.len());
        for (needed, known) in needed::sources(operation).iter().zip(&step.sources) {
            sources.push(match needed {
                Needed::Files(Origin::Stage(stage), item) => {
                    let tree = self.tree(*stage).await?;
                    self.digest_for(&tree, item, operation, vertex).await?
                }
                Needed::Files(Origin::Context, _) | Needed::Fetched(_) => known.clone(),
            });
        }
        self.work_key(id, operation, below, Some(&sources))
    }

    /// What a stage begins with.
    async fn base(&self, id: StageId) -> Result<End> {
        let node = self.node(id)?;
        let key = self.key_after(id, 0).await?;
        let files = match &node.stage.base {
            Base::Nothing => Files::Stack(self.build.builder.engine.builds.nothing()),
            Base::Stage(base) => return self.end(*base).await,
            Base::Image { .. } => {
                if let Some(vertex) = &node.base {
                    vertex.done();
                }
                Files::Stack(self.image(id)?.stack.clone())
            }
            Base::Context { name, value } => {
                match self.build.named(name, value, &node.stage.platform).await? {
                    Named::Nothing => Files::Stack(self.build.builder.engine.builds.nothing()),
                    Named::Image(image) => Files::Stack(image.stack),
                    Named::Part(part, _) => Files::Stack(part.stack),
                    Named::Files(tree) => Files::Tree(tree),
                }
            }
        };
        Ok(End::of(files, key))
    }

    /// The image that a stage begins with, which has been looked up for the plan.
    pub(super) fn image(&self, id: StageId) -> Result<&Resolved> {
        let missing = || Error::system("an image is missing that was looked up for the plan");
        self.images.get(&id).ok_or_else(missing)
    }

    /// Files as layers. A directory becomes one.
    pub(super) async fn stack(&self, end: &End, id: StageId) -> Result<Stack> {
        match &end.files {
            Files::Stack(stack) => Ok(stack.clone()),
            Files::Tree(tree) => {
                let cache = &self.build.builder.cache;
                let _turn = cache.turns.wait(end.key).await;
                if let Some(found) = cache.find(end.key) {
                    self.build.uses(found.used);
                    return Ok(found.value);
                }
                let value = self.build.layer_of(tree).await?;
                let title = format!("files of {}", self.node(id)?.stage.label);
                let new = NewResult { value, title, parent: None, outline: None };
                let found = cache.insert(end.key, new);
                self.build.uses(found.used);
                Ok(found.value)
            }
        }
    }

    /// The stages that an operation takes files from are done.
    async fn trees(&self, operation: &Operation) -> Result<Vec<(StageId, End)>> {
        let stages = needed::stages(&operation.work);
        stages.iter().for_each(|stage| self.want(*stage));
        let mut ends: Vec<(StageId, End)> = Vec::with_capacity(stages.len());
        for stage in stages {
            if ends.iter().all(|(known, _)| *known != stage) {
                ends.push((stage, self.end(stage).await?));
            }
        }
        Ok(ends)
    }

    /// What a stage ends with, to be looked at.
    async fn tree(&self, id: StageId) -> Result<Tree> {
        let end = self.end(id).await?;
        self.build.tree_of(&end).await
    }
}

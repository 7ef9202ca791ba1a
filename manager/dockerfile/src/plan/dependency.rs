//! Which stages need which.

use std::collections::BTreeSet;

use super::graph::{Begin, Graph, Node, StageId};
use crate::error::{Error, Result};
use crate::instruction::Step;

/// A step, and what it copies or mounts from.
pub(super) struct Planned {
    pub(super) step: Step,
    /// For each of its places, the stage that it is, or none for the context; not known yet, before
    /// anybody has looked.
    pub(super) origins: Option<Vec<Option<StageId>>>,
    /// An image left it.
    pub(super) triggered: bool,
}

impl Planned {
    pub(super) fn new(step: Step) -> Self {
        Self { step, origins: None, triggered: false }
    }
}

/// Makes sure that no stage copies from itself, by whatever way.
pub(super) fn require_no_cycle(nodes: &[Node]) -> Result<()> {
    let mut done = vec![false; nodes.len()];
    let mut on_way = vec![false; nodes.len()];
    for start in 0..nodes.len() {
        // The way down to where we are, with how many needs of each have been looked at.
        let mut way: Vec<(usize, usize)> = Vec::new();
        let mut next = (!done[start]).then_some(start);
        loop {
            if let Some(index) = next.take() {
                way.push((index, 0));
                on_way[index] = true;
            }
            let Some((index, looked_at)) = way.last_mut() else { break };
            let Some((need, lines)) = nodes[*index].needs.get(*looked_at) else {
                done[*index] = true;
                on_way[*index] = false;
                way.pop();
                continue;
            };
            *looked_at += 1;
            if on_way[need.0] {
                let stage = &nodes[need.0].label;
                let expected = format!("circular dependency detected on stage: {stage}");
                return Err(Error::new(expected).at(*lines));
            }
            if !done[need.0] {
                next = Some(need.0);
            }
        }
    }
    Ok(())
}

impl Graph {
    /// The stages that are needed for what is wanted.
    pub(super) fn needed(&self) -> BTreeSet<StageId> {
        let mut needed = BTreeSet::new();
        let mut ahead = vec![self.target];
        if self.options.all_stages {
            ahead.extend((0..self.declared).map(StageId));
        }
        while let Some(id) = ahead.pop() {
            if !needed.insert(id) {
                continue;
            }
            let node = &self.nodes[id.0];
            if let Begin::Stage(base) = node.begins {
                ahead.push(base);
            }
            ahead.extend(node.needs.iter().map(|(need, _)| *need));
        }
        needed
    }
}

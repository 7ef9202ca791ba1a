//! From instructions to what is done.
//!
//! A [`Graph`] knows which stages there are and what each needs. It has to be told what the images
//! are that stages begin with, since they may leave instructions ([`Graph::wanted`],
//! [`Graph::provide`]); then it gives a [`Plan`]: for each stage that is needed, its operations in
//! order, without variables, with absolute paths, and with the text that shows its progress; and the
//! configuration of the image.
//!
//! Nothing here waits, and nothing here is done twice: the same file with the same options gives the
//! same plan.

mod arguments;
mod base;
mod budget;
mod conclusion;
mod copy;
mod dependency;
mod graph;
mod mounts;
mod need;
mod noting;
mod operation;
mod options;
mod port;
mod run;
mod setting;
mod signal;
mod stage;
mod state;
#[cfg(test)]
mod tests;
mod title;

pub use base::{Provided, Wanted};
pub use conclusion::{Context, Plan};
pub use graph::{Graph, StageId};
pub use noting::SOURCES;
pub use operation::{
    Archive, Base, Copying, Item, Making, Operation, Origin, PlannedMount, PlannedMountKind,
    PlannedStage, Running, Script, Selection, Work,
};
pub use options::{Fresh, ImageName, Manner, Options};

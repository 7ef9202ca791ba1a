//! One step is done: its files are copied, or its command is run, in a draft that becomes a layer.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tare_core::Kind;
use tare_core::build::{Draft, Stack};
use tare_core::snapshot::Snapshots;
use tare_dockerfile::plan::{Archive, Context, Copying, Item, Operation, Origin, StageId, Work};
use tokio::sync::watch;

use super::build::Build;
use super::stages::{End, Files, without_checksum};
use crate::error::{Error, Result};
use crate::progress::Vertex;
use crate::step::{self, Place};
use crate::tree::Tree;

/// What a step may take files from.
pub(super) struct Around<'a> {
    /// The stages that it names.
    pub(super) stages: &'a [(StageId, End)],
    /// What of the context is needed in all.
    pub(super) context: &'a Context,
    /// Variables of commands that are no part of the image.
    pub(super) proxies: &'a [(String, String)],
}

impl Around<'_> {
    pub(super) fn stage(&self, id: StageId) -> Result<&End> {
        let found = self.stages.iter().find(|(stage, _)| *stage == id);
        found.map(|(_, end)| end).ok_or_else(|| Error::system("a stage is missing in the plan"))
    }
}

/// What work with files needs of the machine, in a thread of its own.
pub(super) struct Hands {
    unpacker: Snapshots,
    given_up: watch::Receiver<bool>,
}

impl Hands {
    pub(super) fn place<'a>(&'a self, root: &'a OwnedFd, accounts: &'a OwnedFd) -> Place<'a> {
        Place {
            root: root.as_fd(),
            accounts: accounts.as_fd(),
            unpacker: &self.unpacker,
            given_up: &self.given_up,
        }
    }
}

impl Build {
    /// Does an operation upon `below`.
    pub(super) async fn perform(
        &self,
        operation: &Operation,
        below: &Stack,
        around: &Around<'_>,
        vertex: &Vertex,
    ) -> Result<Stack> {
        let builds = &self.builder.engine.builds;
        let draft = match &operation.work {
            Work::Run(_) => builds.draft_to_run(below).await?,
            Work::Copy(_) | Work::Make(_) => builds.draft(below).await?,
        };
        let draft = match &operation.work {
            Work::Run(running) => {
                self.run(running, &draft, around, vertex).await?;
                draft
            }
            Work::Copy(copying) => {
                let sources = self.sources(copying, around).await?;
                let copied = self.copy(draft, (**copying).clone(), sources).await;
                copied.map_err(|error| match error.kind {
                    // The text begins with the path of a source; stages are looked into only here.
                    Kind::NotFound if error.message.starts_with('"') => {
                        without_checksum(error, vertex)
                    }
                    _ => error,
                })?
            }
            Work::Make(making) => {
                let making = making.clone();
                self.with_hands(draft, move |root, hands| {
                    step::make(&making, &hands.place(root, root)).map(drop)
                })
                .await?
            }
        };
        Ok(builds.seal(draft).await?)
    }

    /// A layer that has all that is in a directory.
    pub(super) async fn layer_of(&self, tree: &Tree) -> Result<Stack> {
        let builds = &self.builder.engine.builds;
        let draft = builds.draft(&builds.nothing()).await?;
        let draft = self.copy(draft, all_to_top(), vec![Some(tree.clone())]).await?;
        Ok(builds.seal(draft).await?)
    }

    /// Copies files into a draft.
    async fn copy(
        &self,
        draft: Draft,
        copying: Copying,
        sources: Vec<Option<Tree>>,
    ) -> Result<Draft> {
        self.with_hands(draft, move |root, hands| {
            step::copy(&copying, &sources, &hands.place(root, root))
        })
        .await
    }

    /// Fills a directory with all that is at a path of a tree.
    pub(super) async fn fill(&self, directory: OwnedFd, tree: Tree, path: &str) -> Result<()> {
        let mut copying = all_to_top();
        if let Some(Item::Files { path: from, .. }) = copying.items.first_mut() {
            path.clone_into(from);
        }
        let (_wanted, hands) = self.hands();
        let fill =
            move || step::copy(&copying, &[Some(tree)], &hands.place(&directory, &directory));
        blocking(fill).await
    }

    /// Works with the files of a draft, in a thread of its own. The draft stays until that has ended,
    /// even if nobody waits for it any more.
    async fn with_hands(
        &self,
        draft: Draft,
        work: impl FnOnce(&OwnedFd, &Hands) -> Result<()> + Send + 'static,
    ) -> Result<Draft> {
        let (_wanted, hands) = self.hands();
        blocking(move || {
            let root = draft.root()?;
            work(&root, &hands)?;
            Ok(draft)
        })
        .await
    }

    /// Hands, and what gives up their work when it is dropped.
    fn hands(&self) -> (GiveUp, Hands) {
        let (give_up, given_up) = watch::channel(false);
        let engine = &self.builder.engine;
        let hands = Hands { unpacker: engine.images.snapshots().clone(), given_up };
        (GiveUp(give_up), hands)
    }

    /// The tree that each item is copied from.
    async fn sources(&self, copying: &Copying, around: &Around<'_>) -> Result<Vec<Option<Tree>>> {
        let mut sources = Vec::with_capacity(copying.items.len());
        for item in &copying.items {
            sources.push(match item {
                Item::Files { origin, .. } => Some(self.tree_at(*origin, around).await?),
                Item::Url { .. } | Item::Git(_) => Some(self.fetched(item).await?.tree),
                Item::Document { .. } => None,
            });
        }
        Ok(sources)
    }

    /// The files of a context or a stage.
    pub(super) async fn tree_at(&self, origin: Origin, around: &Around<'_>) -> Result<Tree> {
        match origin {
            Origin::Context => self.context(around.context).await,
            Origin::Stage(stage) => self.tree_of(around.stage(stage)?).await,
        }
    }

    /// What a stage ends with, to be looked at; it is mounted once.
    pub(super) async fn tree_of(&self, end: &End) -> Result<Tree> {
        let look = async {
            match &end.files {
                Files::Tree(tree) => Ok(tree.clone()),
                Files::Stack(stack) => {
                    let look = self.builder.engine.builds.look(stack).await?;
                    Ok(Tree::new(look.root()?, Arc::new(look)))
                }
            }
        };
        end.tree.get_or_init(|| look).await.clone()
    }
}

/// All that is at the top goes to the top, as it is.
fn all_to_top() -> Copying {
    let path = "/".to_owned();
    let all =
        Item::Files { origin: Origin::Context, path, selection: None, archive: Archive::Kept };
    Copying {
        items: vec![all],
        destination: "/".to_owned(),
        owner: String::new(),
        mode: None,
        exclude: Vec::new(),
        link: false,
    }
}

/// Gives work up when it is dropped.
struct GiveUp(watch::Sender<bool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::system(format!("a step's task died: {error}")))?
}

//! The files of what was built, for the client: in a directory of its own, or as an archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asked::{Asked, switch};
use crate::Builder;
use crate::error::{Error, Result};
use crate::progress::{Journal, Vertex};
use crate::session::{Session, send};
use crate::solve::{Built, Part};
use crate::tree::Tree;

/// How many nanoseconds a second has.
const SECOND: i64 = 1_000_000_000;

/// Whether each platform has a directory of its own.
fn is_split(built: &Built, asked: &Asked) -> Result<bool> {
    match asked.more.get("platform-split") {
        Some(said) => {
            let split = switch("platform-split", said)?;
            if !split && built.parts.len() > 1 {
                return Err(Error::unsupported(
                    "the exporter's option platform-split=false with several platforms",
                ));
            }
            Ok(split)
        }
        None => Ok(built.multi),
    }
}

fn directory(part: &Part) -> String {
    part.platform.to_string().replace('/', "_")
}

/// Copies the files into a directory of the client.
pub(super) async fn local(
    builder: &Arc<Builder>,
    built: &Built,
    asked: &Asked,
    (session, index): (&Session, usize),
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    if asked.more.get("mode").is_some_and(|mode| mode != "copy") {
        return Err(Error::unsupported("the exporter's option mode=delete"));
    }
    let vertex = journal.vertex("exporting to client directory", &[]);
    let split = is_split(built, asked)?;
    let work = async {
        let mut branches = Vec::with_capacity(built.parts.len());
        for part in &built.parts {
            let look = builder.engine.builds.look(&part.stack).await?;
            let tree = Tree::new(look.root()?, look);
            branches.push(send::Branch { under: split.then(|| directory(part)), tree });
        }
        let time = asked.epoch.map(|epoch| epoch.saturating_mul(SECOND));
        let told = vertex.transfer("copying files");
        send::tree(session, index, branches, time, told).await
    };
    vertex.run(work).await?;
    Ok(BTreeMap::new())
}

/// Sends the files as an archive.
pub(super) async fn tar(
    builder: &Arc<Builder>,
    built: &Built,
    asked: &Asked,
    (session, index): (&Session, usize),
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    let vertex = journal.vertex("exporting to client tarball", &[]);
    let split = is_split(built, asked)?;
    let work = async {
        let trees = built.parts.iter().map(|part| (split.then(|| directory(part)), &part.stack));
        let trees: Vec<_> = trees.map(|(under, stack)| (under, stack.clone())).collect();
        let archive = builder.engine.builds.files(trees, asked.epoch).await?;
        sent(archive, session, index, &BTreeMap::new(), &vertex).await
    };
    vertex.run(work).await?;
    Ok(BTreeMap::new())
}

/// Sends an archive to the client.
pub(super) async fn sent(
    mut archive: tare_core::archived::Archived,
    session: &Session,
    index: usize,
    about: &BTreeMap<String, String>,
    vertex: &Vertex,
) -> Result<()> {
    let mut told = vertex.transfer("sending tarball");
    let mut sending = send::stream(session, index, about)?;
    let mut current = 0;
    while let Some(piece) = archive.next().await? {
        current += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        sending.send(piece).await?;
        told.set(current, 0);
    }
    sending.finish().await
}

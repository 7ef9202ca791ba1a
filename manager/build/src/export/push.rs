//! What was built goes to the registry that its names name.

use std::sync::Arc;

use tare_core::image::{Push, PushStep, PushedLayer, Reference};
use tare_core::registry::Credentials;
use tokio::sync::mpsc;

use crate::Builder;
use crate::error::Result;
use crate::progress::Vertex;
use crate::session::{Session, auth};

/// Steps that wait to be told.
const BUFFERED: usize = 64;

/// Sends the images with these names, which are here.
pub(super) async fn push(
    builder: &Arc<Builder>,
    names: &[Reference],
    session: &Session,
    vertex: &Vertex,
) -> Result<()> {
    for name in names {
        let credentials = credentials(session, name).await?;
        let _pushing = vertex.transfer(&format!("pushing {name}"));
        let push = Push { name: name.clone(), platform: None, credentials };
        let (steps, told) = mpsc::channel(BUFFERED);
        let (pushed, ()) =
            tokio::join!(builder.engine.images.push(push, steps), tell(told, vertex));
        pushed?;
    }
    Ok(())
}

/// What the client has for the registry of `name`.
pub(crate) async fn credentials(session: &Session, name: &Reference) -> Result<Credentials> {
    let host = match name.registry() {
        // By which clients know it.
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let found = auth::credentials(session, host)
        .await?
        .unwrap_or(auth::Credentials { username: String::new(), secret: String::new() });
    Ok(if found.username.is_empty() {
        Credentials { identity_token: found.secret, ..Credentials::default() }
    } else {
        Credentials { username: found.username, password: found.secret, ..Credentials::default() }
    })
}

async fn tell(mut steps: mpsc::Receiver<PushStep>, vertex: &Vertex) {
    let mut transfers = std::collections::HashMap::new();
    while let Some(step) = steps.recv().await {
        let PushStep::Layer { layer, step } = step else { continue };
        match step {
            PushedLayer::Pushing { current, total } => {
                let new = || vertex.transfer(&format!("pushing layer {layer}"));
                let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                transfers.entry(layer).or_insert_with(new).set(bytes(current), bytes(total));
            }
            PushedLayer::Pushed | PushedLayer::Known | PushedLayer::Mounted(_) => {
                transfers.remove(&layer);
            }
            PushedLayer::Preparing | PushedLayer::Waiting => {}
        }
    }
}

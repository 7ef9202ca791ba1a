//! Results that other builders know.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tare_core::build::Stack;

use super::request::Request;
use crate::builder::Builder;
use crate::cache::Key;
use crate::error::Result;
use crate::export::cache::{Imported, import};
use crate::progress::Journal;

/// All that was imported.
#[derive(Default)]
pub(super) struct Imports(Vec<Imported>);

impl Imports {
    /// Reads what the request names. What can't be had is told, and is not known then.
    pub(super) async fn read(
        builder: &Arc<Builder>,
        request: &Request,
        journal: &Journal,
    ) -> Result<Self> {
        let session = request.session.as_deref();
        let all =
            request.attrs.imports.iter().map(|option| import(builder, option, session, journal));
        Ok(Self(try_join_all(all).await?.into_iter().flatten().collect()))
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a result is known there.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.0.iter().any(|imported| imported.find(&key))
    }

    /// Brings a result, if one of them has it.
    pub(super) async fn bring(&self, key: Key) -> Option<Stack> {
        for imported in self.0.iter().filter(|imported| imported.find(&key)) {
            match imported.bring(&key).await {
                Ok(stack) => return Some(stack),
                Err(error) => {
                    tracing::warn!(%error, "a result that is known elsewhere can't be had")
                }
            }
        }
        None
    }
}

//! (being written)
use super::config::Defaults;
use crate::error::Result;
pub(super) fn apply(defaults: Defaults, _changes: &[String]) -> Result<Defaults> {
    Ok(defaults)
}

//! `--storage-opt`: how much a container may write.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::size::bytes;

/// The only option that there is.
const SIZE: &str = "size";

/// The limit that these options ask for; without any, the manager's.
///
/// # Errors
/// Invalid for an option that isn't one, or a size that isn't one.
pub(super) fn limit(
    options: &BTreeMap<String, String>,
    default: Option<u64>,
) -> Result<Option<u64>> {
    let mut limit = default;
    for (name, value) in options {
        if !name.eq_ignore_ascii_case(SIZE) {
            return Err(Error::invalid(format!(
                "Unknown option {name}: of --storage-opt, there is {SIZE} alone"
            )));
        }
        limit = Some(bytes(value)?);
    }
    // As in docker, nothing is no limit.
    Ok(limit.filter(|limit| *limit > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_counts_more_than_the_default() {
        let options = |name: &str| BTreeMap::from([(name.to_owned(), "1k".to_owned())]);
        assert_eq!(limit(&options("size"), Some(7)).unwrap(), Some(1024));
        assert_eq!(limit(&BTreeMap::new(), Some(7)).unwrap(), Some(7));
        let error = limit(&options("speed"), None).unwrap_err().to_string();
        assert!(error.contains("Unknown option speed"), "{error}");
    }
}

//! That files come as a tree is walked, each once.

use super::entry::split;
use crate::error::{Error, Result};

/// What was last seen in the directories that are open.
pub(in crate::session) struct Order {
    /// From the root down.
    open: Vec<Directory>,
}

struct Directory {
    path: Vec<u8>,
    /// The last name in it.
    last: Vec<u8>,
}

impl Order {
    pub(in crate::session) fn new() -> Self {
        Self { open: vec![Directory { path: Vec::new(), last: Vec::new() }] }
    }

    /// Takes note of the file at `path`.
    ///
    /// # Errors
    /// [`tare_core::Kind::Invalid`] if it comes again or too late, or its directory didn't come.
    pub(in crate::session) fn next(&mut self, path: &[u8], is_directory: bool) -> Result<()> {
        let (above, name) = split(path);
        // What is left by going on above doesn't come again.
        while self.open.len() > 1 && self.open.last().is_some_and(|open| open.path != above) {
            self.open.pop();
        }
        match self.open.last_mut() {
            Some(open) if open.path == above && open.last.as_slice() < name => {
                open.last = name.to_vec();
            }
            _ => {
                let path = String::from_utf8_lossy(path);
                return Err(Error::invalid(format!(
                    "file {path:?} was sent out of order, twice, or without its directory"
                )));
            }
        }
        if is_directory {
            self.open.push(Directory { path: path.to_vec(), last: Vec::new() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::files::entry::walking_order;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all(paths: &[(&str, bool)]) -> bool {
        let mut order = Order::new();
        paths.iter().all(|(path, is_directory)| order.next(path.as_bytes(), *is_directory).is_ok())
    }

    #[test]
    fn files_come_once_in_order_and_below_a_directory_that_came() {
        let (file, directory) = (false, true);
        assert!(all(&[
            ("a", directory),
            ("a/b", directory),
            ("a/b/c", file),
            ("a/c", file),
            ("b", file)
        ]));
        assert!(!all(&[("b", file), ("a", file)]));
        assert!(!all(&[("a", file), ("a", file)]));
        assert!(!all(&[("a", directory), ("a", file)]));
        assert!(!all(&[("a/b", file)]));
        assert!(!all(&[("a", file), ("a/b", file)]));
        assert!(!all(&[("a", directory), ("b", file), ("a/b", file)]));
        assert!(!all(&[("a", directory), ("a/b", directory), ("a/c", file), ("a/b/c", file)]));
        assert!(!all(&[("a", directory), ("ab/c", file)]));
    }

    proptest! {
        /// Whatever is taken, is a tree: sorted, without doubles, with all directories.
        #[test]
        fn what_is_taken_is_a_tree(paths in prop::collection::vec(("[ab.]{1,2}(/[ab.]{1,2}){0,2}", any::<bool>()), 0..40)) {
            let mut order = Order::new();
            let mut taken: Vec<(Vec<u8>, bool)> = Vec::new();
            for (path, is_directory) in paths {
                if order.next(path.as_bytes(), is_directory).is_ok() {
                    taken.push((path.into_bytes(), is_directory));
                }
            }
            let directories: BTreeSet<_> =
                taken.iter().filter(|(_, is)| *is).map(|(path, _)| path.as_slice()).collect();
            for (path, _) in &taken {
                let (above, _) = split(path);
                prop_assert!(above.is_empty() || directories.contains(above));
            }
            prop_assert!(taken.windows(2).all(|two| walking_order(&two[0].0, &two[1].0).is_lt()));
        }
    }
}

//! How much memory one file may ask for. Each word is limited, and so is the number of
//! instructions; but small words make large ones, and stages that begin with others copy them.

use crate::error::{Error, Result};

const MOST: usize = 256 << 20;

/// What is left of it.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MOST)
    }

    /// Takes `bytes` of it.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => {
                let most = MOST >> 20;
                let expected = format!("the Dockerfile takes more than {most} MiB of memory");
                return Err(Error::new(expected));
            }
        }
        Ok(())
    }
}

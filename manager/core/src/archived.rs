//! An archive that a thread writes while a client reads it.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::apart::{self, Apart};
use crate::error::{Error, Result};
use crate::pieces::{DEPTH, Pieces};

/// An archive that is being written. Dropped, the writing ends.
pub struct Archived {
    pieces: mpsc::Receiver<Bytes>,
    work: Option<Apart<()>>,
}

/// Begins to write an archive in a thread of its own.
///
/// # Errors
/// [`crate::Kind::System`] if there can be no thread.
pub(crate) fn archived(
    work: impl FnOnce(&mut Pieces<mpsc::Sender<Bytes>>) -> Result<()> + Send + 'static,
) -> Result<Archived> {
    let (to, pieces) = mpsc::channel(DEPTH);
    let work = apart::begin("archive", move || {
        let mut pieces = Pieces::new(to);
        work(&mut pieces)?;
        pieces.finish().map(drop).map_err(|error| Error::io("send the archive", error))
    })?;
    Ok(Archived { pieces, work: Some(work) })
}

impl Archived {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// Why the archive could not be written to its end: what came so far isn't one.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        if let Some(work) = self.work.take() {
            work.outcome().await?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn all_pieces_come_and_then_what_went_wrong() {
        let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        let expected = content.clone();
        let mut archive = archived(move |to| {
            to.write_all(&content).map_err(|error| Error::io("write", error))?;
            to.flush().map_err(|error| Error::io("write", error))?;
            Err(Error::invalid("half"))
        })
        .unwrap();
        let mut read = Vec::new();
        let error = loop {
            match archive.next().await {
                Ok(Some(piece)) => read.extend_from_slice(&piece),
                Ok(None) => panic!("it has not failed"),
                Err(error) => break error,
            }
        };
        assert!(read == expected);
        assert_eq!(error.to_string(), "half");
    }
}

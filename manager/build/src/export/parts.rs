//! What was built for one platform, with all that makes an image of it.

use tare_core::image::{DiffId, Digest, ImageId};

use super::cache;
use super::config::{self, LayerMade};
use crate::error::Result;
use crate::solve::Part;

/// A part whose layers are known.
pub(crate) struct Finished {
    pub(crate) part: Part,
    pub(crate) config: Vec<u8>,
}

impl Finished {
    /// Waits for the digests of the layers of `part`, and says what image it is: of the time `epoch`,
    /// if there is one, and telling of its results, if it is to.
    pub(crate) async fn of(part: &Part, epoch: Option<i64>, inline: bool) -> Result<Self> {
        let layers = layers(part).await?;
        let told =
            if inline { Some(cache::inline(part, &part.stack.layers().await?)?) } else { None };
        let config = config::blob(&part.image, &layers, epoch, told)?;
        Ok(Self { part: part.clone(), config })
    }

    /// The image.
    pub(crate) fn id(&self) -> ImageId {
        ImageId(Digest::of(&self.config))
    }
}

/// The layers of a part, lowest first, with what made those that are not the base's.
pub(crate) async fn layers(part: &Part) -> Result<Vec<LayerMade>> {
    let layers = part.stack.layers().await?;
    let below = layers.len().saturating_sub(part.made.len());
    let diff_ids = layers.iter().map(|layer| layer.diff_id).collect::<Vec<DiffId>>();
    let made = diff_ids.into_iter().enumerate().map(|(place, diff_id)| {
        let made = place.checked_sub(below).and_then(|place| part.made.get(place));
        LayerMade { diff_id, made: made.map(|made| (made.at, made.title.clone())) }
    });
    Ok(made.collect())
}

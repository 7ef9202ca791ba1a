//! An image for some platforms goes, and with the last one its names.

use std::collections::BTreeSet;

use super::{Plan, short};
use crate::error::{Error, Result};
use crate::image::catalog::Leaving;
use crate::image::digest::ImageId;
use crate::image::platform::Platform;
use crate::image::reference::Reference;

impl Plan<'_> {
    /// Whether a list for several platforms led to the image.
    pub(super) fn is_of_list(&self) -> bool {
        !self.image.lists.is_empty()
    }

    /// Makes sure that an image which no list led to is what was asked for.
    pub(super) fn check_is_for(&self, platforms: &[Platform]) -> Result<()> {
        match platforms {
            [only] => self.index.resolve_for(self.name, only).map(drop),
            _ => Err(Error::invalid("multiple platforms are not supported")),
        }
    }

    /// What goes with the image for the platforms that were asked for.
    pub(super) fn by_platform(&self) -> Result<Leaving> {
        if !self.options.force {
            return Err(Error::invalid(
                "Content will be removed from all images referencing this variant. Use --force to \
                 force delete.",
            ));
        }
        let platforms = self.options.platforms.iter();
        let images: BTreeSet<ImageId> =
            platforms.map(|platform| self.variant(platform)).collect::<Result<_>>()?;
        let users = images.iter().filter_map(|id| Some((id, self.users.get(id)?)));
        for (id, users) in users {
            if let Some(user) = users.iter().find(|user| user.running) {
                return Err(Error::conflict(format!(
                    "conflict: unable to delete {} (cannot be forced) - image is being used by \
                     running container {}",
                    id.short(),
                    short(&user.id),
                )));
            }
        }
        Ok(Leaving { names: self.names_of_none_but(&images), images: images.into_iter().collect() })
    }

    /// The image that is for exactly this platform.
    fn variant(&self, wanted: &Platform) -> Result<ImageId> {
        let mut all = std::iter::once(&self.image.id).chain(&self.image.variants);
        let found = all.find(|id| {
            self.platform(**id).is_some_and(|platform| wanted.rank_of(&platform) == Some(0))
        });
        found.copied().ok_or_else(|| {
            Error::not_found(format!(
                "image with reference {} was found but does not provide the specified platform \
                 ({wanted})",
                self.name
            ))
        })
    }

    /// What an image is for, as a list says, or as it says itself.
    fn platform(&self, id: ImageId) -> Option<Platform> {
        let lists = self.index.lists_with(id);
        let mut variants = lists.iter().flat_map(|list| &list.variants);
        let listed = variants.find(|variant| variant.image == id);
        let listed = listed.map(|variant| variant.platform.clone());
        listed.or_else(|| Some(self.index.image(id)?.config.platform()))
    }

    /// Names that stand for nothing when these images are gone.
    fn names_of_none_but(&self, gone: &BTreeSet<ImageId>) -> Vec<Reference> {
        let images = gone.iter().filter_map(|id| self.index.image(*id));
        let names: BTreeSet<Reference> = images
            .flat_map(|image| {
                let image = image.shown();
                image.references.iter().chain(&image.variant_of).cloned().collect::<Vec<_>>()
            })
            .collect();
        let left = names.into_iter().filter(|name| {
            let target = self.index.target(name);
            target.is_none_or(|target| self.index.members(target).is_subset(gone))
        });
        left.collect()
    }
}

//! `prune`: images that no container uses go, each judged at the moment at which it goes.

use std::collections::BTreeMap;
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use super::catalog::Catalog;
use super::digest::ImageId;
use super::image::Image;
use super::index::Indexed;
use super::remove::{Farewell, Plan, users_of};
use super::{ImageUsers, RemoveImage, Removed};
use crate::error::{Error, Result};

/// What a `prune` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What was taken away.
    pub removed: Vec<Removed>,
    /// Bytes that this has freed.
    pub freed: u64,
}

impl Catalog {
    /// Takes away the images that may go and that nobody uses, and what came of layers whose pulls
    /// ended early.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] if another one prunes now.
    pub(super) fn prune(
        &self,
        may_go: &dyn Fn(&Image) -> bool,
        users: &dyn ImageUsers,
    ) -> Result<Pruned> {
        let _alone = match self.pruning.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict("a prune operation is already running"));
            }
        };
        let all = self.read().list();
        let sizes = sizes(&all);
        let mut pruned = Pruned::default();
        for id in self.latest_first(&all) {
            match self.prune_one(id, may_go, users) {
                Ok(removed) => pruned.removed.extend(removed),
                Err(error) => tracing::warn!(image = %id, %error, "an unused image stays"),
            }
        }
        let gone = pruned.removed.iter().filter_map(|removed| match removed {
            Removed::Deleted(layer) => sizes.get(layer),
            Removed::Untagged(_) => None,
        });
        // Others may have the rest of an image's layers.
        pruned.freed = gone.sum::<u64>() + self.blobs.parts().sweep(Duration::ZERO)?;
        Ok(pruned)
    }

    /// Images that were made of others come before those.
    fn latest_first(&self, all: &[Arc<Image>]) -> Vec<ImageId> {
        let index = self.read();
        let mut ids: Vec<ImageId> = all.iter().map(|image| image.id).collect();
        ids.sort_by_cached_key(|id| std::cmp::Reverse(index.ancestors(*id).count()));
        ids
    }

    fn prune_one(
        &self,
        id: ImageId,
        may_go: &dyn Fn(&Image) -> bool,
        users: &dyn ImageUsers,
    ) -> Result<Vec<Removed>> {
        let farewell = {
            let _one_at_a_time = self.lock_changes();
            let (farewell, leaving) = {
                let index = self.read();
                // What went along with another one is gone by now.
                let Some(image) = index.image(id).map(Indexed::shown) else {
                    return Ok(Vec::new());
                };
                if image.is_variant_only() || !may_go(&image) {
                    return Ok(Vec::new());
                }
                let users = &users_of(&index, &image, users);
                let (name, options) = (&*id.to_string(), &RemoveImage::default());
                let plan = Plan { index: &index, image: &image, name, options, users };
                let leaving = plan.if_unused();
                (Farewell::of(&index, Arc::clone(&image), &leaving), leaving)
            };
            if leaving.names.is_empty() && leaving.images.is_empty() {
                return Ok(Vec::new());
            }
            self.forget(&leaving)?;
            farewell
        };
        Ok(self.bid(farewell))
    }
}

/// Bytes of each layer of all images.
fn sizes(all: &[Arc<Image>]) -> BTreeMap<String, u64> {
    let layers = all.iter().flat_map(|image| &image.layers);
    layers.map(|layer| (layer.chain_id.to_string(), layer.size)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::Kind;
    use crate::image::archive::testing::{Member, tar_of};
    use crate::image::testing::{Nobody, assert_empty, import, open};
    use crate::image::{ImageUser, Images};

    fn tar(name: &str) -> Vec<u8> {
        tar_of(&[Member::file(name, &[7; 1000])])
    }

    fn user() -> ImageUser {
        ImageUser { id: "0123456789abcdef".to_owned(), name: "box".to_owned(), running: false }
    }

    /// Comes into use as soon as somebody has asked.
    #[derive(Default)]
    struct Late(Mutex<bool>);

    impl ImageUsers for Late {
        fn containers_using(&self, _: &ImageId) -> Vec<ImageUser> {
            let mut asked = self.0.lock().unwrap();
            if std::mem::replace(&mut *asked, true) { vec![user()] } else { Vec::new() }
        }
    }

    #[tokio::test]
    async fn each_image_is_judged_when_its_turn_comes() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        import(&images, &tar("a"), None).await;
        import(&images, &tar("b"), Some("named")).await;
        let pruned = images.prune(|_| true, Arc::new(Late::default())).await.unwrap();
        assert_eq!((images.list().len(), pruned.freed), (1, 1000));
        images.prune(|image| !image.references.is_empty(), Arc::new(Nobody)).await.unwrap();
        images.prune(|image| image.references.is_empty(), Arc::new(Nobody)).await.unwrap();
        assert_empty(&images, root.path());
    }

    /// Prunes while it is asked who uses an image.
    struct Twice(Arc<Images>, Mutex<Vec<Error>>);

    impl ImageUsers for Twice {
        fn containers_using(&self, _: &ImageId) -> Vec<ImageUser> {
            let second = self.0.catalog.prune(&|_| true, &Nobody);
            self.1.lock().unwrap().extend(second.err());
            vec![user()]
        }
    }

    #[tokio::test]
    async fn one_prune_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        import(&images, &tar("a"), None).await;
        let twice = Arc::new(Twice(Arc::clone(&images), Mutex::default()));
        let pruned = images.prune(|_| true, Arc::clone(&twice) as _).await.unwrap();
        assert_eq!(pruned, Pruned::default());
        let errors = std::mem::take(&mut *twice.1.lock().unwrap());
        assert_eq!(errors[0].kind(), Kind::Conflict);
        assert_eq!(errors[0].to_string(), "a prune operation is already running");
        drop(twice);
        images.prune(|_| true, Arc::new(Nobody)).await.unwrap();
        assert_empty(&images, root.path());
    }
}

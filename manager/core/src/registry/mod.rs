//! Registries: asking them for images and giving them some, by the OCI distribution protocol, which
//! is Docker's registry protocol grown up.
//!
//! A [`Session`] is one repository of one registry for one pull or push. It knows the
//! [`endpoint`]s where the registry may be reached, mirrors first, and sends each request with what
//! the registry wants to see: a [`token`] or a password. What a registry says is believed only as
//! far as it can be checked: sizes and digests always are.

mod blob;
pub(crate) mod cause;
pub(crate) mod certificates;
mod challenge;
mod credentials;
mod describe;
mod endpoint;
mod failure;
mod insecure;
mod login;
mod manifest;
mod mirrors;
mod patience;
mod proxies;
mod referrers;
mod request;
mod search;
mod session;
mod settings;
mod tags;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod upload;
mod web;
mod without;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::error::Result;
use crate::image::Reference;
use certificates::Authorities;
use token::Tokens;

pub use credentials::Credentials;
pub use describe::{Described, DescribedPlatform};
pub use insecure::Insecure;
pub use login::LoggedIn;
pub use mirrors::{Mirror, Mirrors};
pub use patience::Patience;
pub use proxies::Proxies;
pub use search::Found;
pub use settings::RegistrySettings;
pub use web::{WebAsked, WebFile};

pub(crate) use blob::{Sink, Wanted};
pub(crate) use failure::Failure;
pub(crate) use manifest::{Manifest, ManifestKind, Received};
pub(crate) use session::Session;
pub(crate) use token::Access;
pub(crate) use upload::Upload;

/// The way to all registries.
pub struct Registries {
    settings: ArcSwap<RegistrySettings>,
    authorities: Authorities,
    tokens: Tokens,
}

impl Registries {
    /// The way that `settings` describe.
    pub fn new(settings: RegistrySettings) -> Arc<Self> {
        let authorities = Authorities::default();
        let settings = ArcSwap::from_pointee(settings);
        Arc::new(Self { settings, authorities, tokens: Tokens::default() })
    }

    /// What is known of registries now.
    pub fn settings(&self) -> Arc<RegistrySettings> {
        self.settings.load_full()
    }

    /// Changes that, for pulls and pushes that begin from now on.
    pub(crate) fn change(&self, settings: RegistrySettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Layers that are sent at the same time.
    pub(crate) fn uploads(&self) -> usize {
        self.settings().uploads.max(1)
    }

    /// Begins to work with the repository of `name`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for certificates that cannot be read.
    pub(crate) async fn session(
        self: &Arc<Self>,
        name: &Reference,
        access: Access,
        credentials: Credentials,
    ) -> Result<Session> {
        let endpoints = match access {
            Access::Pull => self.endpoints_to_pull(name.registry(), &credentials).await?,
            Access::Push => self.endpoints_to_push(name.registry(), &credentials).await?,
        };
        Ok(Session::new(Arc::clone(self), name, access, endpoints))
    }
}

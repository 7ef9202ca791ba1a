//! Platforms, in the words of Dockerfiles and in core's.

use tare_dockerfile::platform::Platform;

use crate::error::{Error, Result};

/// This machine's.
pub(crate) fn here() -> Platform {
    let here = tare_core::image::Platform::host();
    Platform::new("linux", &here.architecture, here.variant.as_deref().unwrap_or_default())
}

/// The same in core's words.
///
/// # Errors
/// It is none of Linux.
pub(crate) fn of_core(platform: &Platform) -> Result<tare_core::image::Platform> {
    let variant = Some(platform.variant.as_str()).filter(|variant| !variant.is_empty());
    tare_core::image::Platform::of(&platform.os, &platform.architecture, variant)
        .map_err(Error::from)
}

//! What was built.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tare_core::build::Stack;
use tare_dockerfile::image::Image;
use tare_dockerfile::platform::Platform;

use crate::cache::Key;

/// What came of a request.
#[derive(Clone)]
pub enum Answer {
    /// It was built.
    Built(Built),
    /// What was asked of the file, rather than to build it: `result.json`, `result.txt`, `version`.
    Told(BTreeMap<String, Vec<u8>>),
}

/// What was built.
#[derive(Clone, Default)]
pub struct Built {
    /// For each platform, in the order in which they were asked for.
    pub parts: Vec<Part>,
    /// Several platforms were asked for: they are a list of images, even if there is one.
    pub multi: bool,
    /// The time of all that is made, in seconds since 1970, if it was asked for.
    pub epoch: Option<i64>,
    /// The images that it was made of: `docker.io/library/x:1@sha256:...`.
    pub images: Vec<String>,
}

/// What was built for one platform.
#[derive(Clone)]
pub struct Part {
    /// The platform.
    pub platform: Platform,
    /// Its files.
    pub stack: Stack,
    /// Its settings. The history is complete, but for times; there are no layers in it.
    pub image: Image,
    /// The settings of the image that it begins with.
    pub base: Option<Image>,
    /// What made the layers of `stack` that are not the base's, lowest first, each one of them.
    pub made: Vec<Made>,
}

/// What made a layer.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it is known by.
    pub key: Key,
    /// What progress said of it.
    pub title: String,
    /// When it was made; earlier than this build, if it was known.
    pub at: Timestamp,
}

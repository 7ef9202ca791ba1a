//! What is asked for beside the file.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::ignore::Matcher;
use crate::platform::Platform;
use crate::text::quote::quoted;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Values of arguments.
    pub arguments: BTreeMap<String, String>,
    /// The stage that is wanted; the last, if none is.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The platform that builds.
    pub build_platform: Platform,
    /// The platform that is built for, if it was asked for.
    pub target_platform: Option<Platform>,
    /// Others are built for at the same time, so that progress says which.
    pub several_platforms: bool,
    /// Contexts by name; what each is, is for who fetches them.
    pub contexts: BTreeMap<String, String>,
    /// Which stages are made anew.
    pub fresh: Fresh,
    /// All stages are looked at, since it is about checks.
    pub all_stages: bool,
    /// What is not in the context.
    pub ignored: Matcher,
    /// Whose habits are kept.
    pub manner: Manner,
    /// What comes before the names of caches.
    pub cache_namespace: String,
    /// Reads the name of an image. It gives what is wrong with it, if something is.
    pub name_of: fn(&str) -> std::result::Result<ImageName, String>,
}

/// Whose habits are kept: what the history says, what is refused, and what an image says of itself
/// without being told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manner {
    /// `BuildKit`'s.
    #[default]
    BuildKit,
    /// Those of docker's builder before that, which clients without `BuildKit` expect.
    Classic,
}

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// All of it, with its registry and a tag or a digest.
    pub whole: String,
    /// As a person would write it.
    pub short: String,
}

/// Which stages are made without looking for what was made before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fresh {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those with these names.
    These(Vec<String>),
}

/// Names that are never those of contexts.
const NO_CONTEXTS: [&str; 2] = ["scratch", "context"];

impl Options {
    /// The platform that is built for.
    pub(super) fn platform(&self) -> &Platform {
        self.target_platform.as_ref().unwrap_or(&self.build_platform)
    }

    /// The context that is named so, for a platform alone or for all.
    pub(super) fn context(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Option<(String, String)> {
        if self.contexts.is_empty()
            || NO_CONTEXTS.iter().any(|other| other.eq_ignore_ascii_case(name))
        {
            return None;
        }
        let name = (self.name_of)(name).ok()?.short;
        let name = name.strip_suffix(":latest").unwrap_or(&name).to_owned();
        let platform = platform.unwrap_or_else(|| self.platform()).normal();
        let of_platform = format!("{name}::{platform}");
        [of_platform, name].into_iter().find_map(|name| {
            let context = self.contexts.get(&name)?.clone();
            Some((name, context))
        })
    }

    /// The whole name of an image that a stage begins with.
    pub(super) fn image(&self, name: &str) -> Result<String> {
        (self.name_of)(name).map(|name| name.whole).map_err(|wrong| {
            let name = quoted(name);
            Error::new(format!("failed to parse stage name {name}: {wrong}"))
        })
    }

    pub(super) fn is_fresh(&self, stage: Option<&str>) -> bool {
        match &self.fresh {
            Fresh::None => false,
            Fresh::All => true,
            Fresh::These(names) => {
                stage.is_some_and(|stage| names.iter().any(|name| name.eq_ignore_ascii_case(stage)))
            }
        }
    }
}

//! What progress says of an operation: `[build 2/5] RUN make`.

use super::options::Options;
use crate::platform::Platform;
use crate::shell::Environment;

/// Numbers the operations of a stage.
pub(super) struct Titles {
    label: String,
    total: usize,
    index: usize,
    with_platform: bool,
}

impl Titles {
    pub(super) fn new(label: &str, total: usize, options: &Options) -> Self {
        Self { label: label.to_owned(), total, index: 0, with_platform: options.several_platforms }
    }

    /// The next operation does this.
    pub(super) fn next(
        &mut self,
        text: &str,
        platform: &Platform,
        environment: &Environment,
        triggered: bool,
    ) -> String {
        self.index += 1;
        let mut title = "[".to_owned();
        if self.with_platform {
            title.push_str(&platform.to_string());
            title.push_str(&across(platform, environment));
            title.push(' ');
        }
        if !self.label.is_empty() {
            title.push_str(&self.label);
            title.push(' ');
        }
        let width = self.total.max(1).ilog10() as usize + 1;
        title.push_str(&format!("{:>width$}/{}] ", self.index, self.total));
        if triggered {
            title.push_str("ONBUILD ");
        }
        title + text
    }
}

/// What a stage that runs here makes programs for, if that is another platform.
fn across(base: &Platform, environment: &Environment) -> String {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let whole = set("TARGETPLATFORM").and_then(|text| Platform::parse(text, base).ok());
    let parts = ["TARGETOS", "TARGETARCH", "TARGETVARIANT"].map(set);
    let target = match (whole, parts) {
        (Some(platform), _) => platform.normal(),
        (None, [None, None, None]) => return String::new(),
        (None, [os, architecture, variant]) => Platform::new(
            os.unwrap_or(&base.os),
            architecture.unwrap_or(&base.architecture),
            variant.unwrap_or_default(),
        ),
    };
    if target.os != base.os {
        return format!("->{target}");
    }
    if target.architecture == base.architecture {
        return String::new();
    }
    let variant = if target.variant.is_empty() { "" } else { "/" };
    format!("->{}{variant}{}", target.architecture, target.variant)
}

/// `text` with its first word in capitals.
pub(super) fn in_capitals(text: &str) -> String {
    match text.split_once(' ') {
        Some((word, rest)) => format!("{} {rest}", word.to_uppercase()),
        None => text.to_uppercase(),
    }
}

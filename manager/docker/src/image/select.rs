//! Which images a client wants to see.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use regex::Regex;
use tare_core::image::{Image, ImageId, Reference};

use super::list::All;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::time;

/// The filters that there are.
pub(super) const FILTERS: [&str; 7] =
    ["dangling", "label", "label!", "before", "since", "reference", "until"];

/// Which images without a name are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Those that no other image was made of.
    Uppermost,
    /// All.
    All,
}

/// An image to be shown, and which of its names.
pub(super) enum Chosen<'a> {
    /// All names.
    Whole(&'a Arc<Image>),
    /// Those that were asked for.
    Named(&'a Arc<Image>, Vec<&'a Reference>),
}

impl Chosen<'_> {
    pub(super) fn image(&self) -> &Arc<Image> {
        match self {
            Self::Whole(image) | Self::Named(image, _) => image,
        }
    }

    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &Reference> + '_> {
        match self {
            Self::Whole(image) => Box::new(image.references.iter()),
            Self::Named(_, names) => Box::new(names.iter().copied()),
        }
    }
}

/// The images that pass the filters.
pub(super) fn select<'a>(
    api: &Api,
    all: &'a All,
    filters: &Filters,
    shown: Shown,
) -> Result<Vec<Chosen<'a>>> {
    let dangling = filters.truth("dangling")?;
    let bound = |name: &str| {
        let images = filters.values(name).map(|value| api.engine.images.resolve(value));
        images.collect::<Result<Vec<_>, _>>()
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let now = Timestamp::now();
    let until = filters.values("until").map(|value| time::point(value, now));
    let until: Vec<Timestamp> = until
        .collect::<Result<_>>()
        .map_err(|error| error.while_doing("invalid value for 'until' filter"))?;
    let patterns = filters.values("reference").map(glob).collect::<Result<Vec<_>>>()?;
    let labels = Labels::of(filters);
    let parents: HashSet<ImageId> = match shown {
        Shown::All => HashSet::new(),
        Shown::Uppermost => all.images.iter().filter_map(|image| image.parent).collect(),
    };
    let passes = |image: &Arc<Image>| {
        let created = image.config.created;
        let is_nameless = image.references.is_empty();
        let has_tag = || image.references.iter().any(|name| name.tag().is_some());
        dangling.is_none_or(|dangling| dangling != has_tag())
            && !(is_nameless && parents.contains(&image.id))
            && before.iter().all(|bound| created < bound.config.created)
            && since.iter().all(|bound| created > bound.config.created)
            && until.iter().all(|until| created.is_some_and(|created| created < *until))
            && (labels.allow(image) || all.variants_of(image).any(|image| labels.allow(image)))
    };
    let chosen = all.listed().filter(|image| passes(image));
    Ok(chosen.filter_map(|image| matching(image, &patterns)).collect())
}

/// The image with those of its names that match a pattern; none if no name does. Without patterns,
/// the image as it is.
fn matching<'a>(image: &'a Arc<Image>, patterns: &[Regex]) -> Option<Chosen<'a>> {
    if patterns.is_empty() {
        return Some(Chosen::Whole(image));
    }
    let names = image.references.iter().filter(|name| is_meant(name, patterns));
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then_some(Chosen::Named(image, names))
}

/// Whether a pattern matches a name, in its short or its whole form, with or without its tag.
fn is_meant(name: &Reference, patterns: &[Regex]) -> bool {
    let forms = [
        name.familiar(),
        name.familiar_name(),
        name.to_string(),
        format!("{}/{}", name.registry(), name.repository()),
    ];
    patterns.iter().any(|pattern| forms.iter().any(|form| pattern.is_match(form)))
}

/// A shell pattern as a regular expression: `*` and `?` match anything but a slash.
fn glob(pattern: &str) -> Result<Regex> {
    let mut expression = String::from("^");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' => expression.push(character),
            '\\' => {
                expression.extend(characters.next().map(|next| regex::escape(&next.to_string())))
            }
            '-' => expression.push('-'),
            '^' => expression.push('^'),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    let wrong = |_| {
        Error::invalid(format!("invalid filter 'reference={pattern}': syntax error in pattern"))
    };
    Regex::new(&expression).map_err(wrong)
}

/// What is asked of labels: `key` and `key=value` have to be there, or not.
struct Labels(Vec<Label>);

struct Label {
    key: String,
    /// None: any.
    value: Option<String>,
    /// It has to be there.
    wanted: bool,
}

impl Labels {
    fn of(filters: &Filters) -> Self {
        let wanted = filters.values("label").map(|text| Label::parse(text, true));
        let unwanted = filters.values("label!").map(|text| Label::parse(text, false));
        Self(wanted.chain(unwanted).collect())
    }

    fn allow(&self, image: &Image) -> bool {
        let labels = &image.config.defaults.labels;
        self.0.iter().all(|label| label.is_in(labels) == label.wanted)
    }
}

impl Label {
    fn parse(text: &str, wanted: bool) -> Self {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        // `key!=value` says the opposite.
        match key.strip_suffix('!').filter(|_| value.is_some()) {
            Some(key) => Self { key: key.to_owned(), value, wanted: !wanted },
            None => Self { key: key.to_owned(), value, wanted },
        }
    }

    fn is_in(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::filters;

    #[test]
    fn patterns_match_names_and_repositories() {
        let matches = |pattern: &str, name: &str| {
            is_meant(&Reference::parse(name).unwrap(), &[glob(pattern).unwrap()])
        };
        for (pattern, name) in [
            ("nginx", "nginx:latest"),
            ("ngi*", "nginx:latest"),
            ("*:latest", "nginx:latest"),
            ("ngin?:[l1]atest", "nginx:latest"),
            ("ngin[^a]:*", "nginx:latest"),
            ("docker.io/library/nginx", "nginx:latest"),
            ("docker.io/library/*:latest", "nginx:latest"),
            ("*/nginx", "example.org:5000/nginx:1"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("ngin", "nginx:latest"), ("*", "example.org/nginx:1"), ("ngin[^x]", "nginx:latest")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(glob("[").is_err());
    }

    #[test]
    fn labels_are_wanted_or_not() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let allows = |json: &str| {
            let Labels(all) = Labels::of(&filters(json));
            all.iter().all(|label| label.is_in(&labels) == label.wanted)
        };
        for json in [
            "{}",
            r#"{"label":["a"]}"#,
            r#"{"label":["a=1"]}"#,
            r#"{"label":["a!=2"]}"#,
            r#"{"label!":["a=2","b"]}"#,
            r#"{"label!":["a!=1"]}"#,
        ] {
            assert!(allows(json), "{json}");
        }
        for json in [
            r#"{"label":["b"]}"#,
            r#"{"label":["a=2"]}"#,
            r#"{"label":["a!=1"]}"#,
            r#"{"label!":["a","b"]}"#,
        ] {
            assert!(!allows(json), "{json}");
        }
    }
}

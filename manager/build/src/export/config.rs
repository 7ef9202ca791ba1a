//! The configuration of an image that was built: its layers, and when each step was done.

use jiff::Timestamp;
use serde_json::{Value, json};
use tare_core::image::DiffId;
use tare_dockerfile::image::{History, Image, RootFs};

use crate::error::{Error, Result};

/// What is said of a layer that no instruction accounts for.
const UNACCOUNTED: &str = "buildkit.exporter.image.v0";

/// A layer, as far as the history goes.
#[derive(Debug, Clone)]
pub(crate) struct LayerMade {
    pub(crate) diff_id: DiffId,
    /// When it was made and what made it, unless it is the base's.
    pub(crate) made: Option<(Timestamp, String)>,
}

/// The configuration as the blob that it is: `image` with these layers, lowest first. All that is new
/// is of the time `epoch`, in seconds since 1970, if there is one; `inline` is what others may find of
/// the build in it.
///
/// # Errors
/// A time that there is not.
pub(crate) fn blob(
    image: &Image,
    layers: &[LayerMade],
    epoch: Option<i64>,
    inline: Option<Value>,
) -> Result<Vec<u8>> {
    let mut image = image.clone();
    image.history = history(std::mem::take(&mut image.history), layers);
    if let Some(epoch) = epoch {
        let wrong = |error| Error::invalid(format!("the time {epoch} of a build: {error}"));
        let epoch = Timestamp::from_second(epoch).map_err(wrong)?;
        image.history.iter_mut().for_each(|step| clamp(&mut step.created, epoch));
        image.created = Some(epoch.to_string());
    } else if image.created.is_none() {
        image.created = image.history.iter().rev().find_map(|step| step.created.clone());
    }
    let diff_ids = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    image.rootfs = RootFs { diff_ids, ..RootFs::default() };
    let failed = |error| Error::system(format!("encode the configuration of an image: {error}"));
    let mut value = serde_json::to_value(&image).map_err(failed)?;
    if let Some(inline) = inline {
        value["moby.buildkit.cache.v0"] = inline;
    }
    // As it always was: a docker of some age reads a time, and no absence of one.
    if value.get("created").is_none() {
        value["created"] = json!(null);
    }
    serde_json::to_vec(&value).map_err(failed)
}

/// The history, in which each layer has its step and each step has its time.
fn history(mut history: Vec<History>, layers: &[LayerMade]) -> Vec<History> {
    let mut next = layers.iter();
    for step in history.iter_mut().filter(|step| !step.empty_layer) {
        match next.next() {
            Some(layer) => {
                let at = layer.made.as_ref().map(|(at, _)| at.to_string());
                step.created = step.created.take().or(at);
            }
            None => step.empty_layer = true,
        }
    }
    for layer in next {
        let (at, title) = layer.made.clone().unzip();
        history.push(History {
            created: at.map(|at| at.to_string()),
            created_by: title.unwrap_or_else(|| "created by buildkit".to_owned()),
            comment: UNACCOUNTED.to_owned(),
            ..History::default()
        });
    }
    date(&mut history);
    history
}

/// Steps without a layer are of the time of the layer before, and those before all new layers of the
/// time of the first of them.
fn date(history: &mut [History]) {
    let mut at = first_new(history);
    let mut passed = false;
    for step in history {
        match &step.created {
            Some(created) if passed => at = Some(created.clone()),
            Some(_) => {}
            None => {
                passed = true;
                step.created.clone_from(&at);
            }
        }
    }
}

/// The first time after a step that has none; if there is no such, the last time.
fn first_new(history: &[History]) -> Option<String> {
    let undated = history.iter().position(|step| step.created.is_none());
    let after =
        undated.and_then(|place| history[place..].iter().find_map(|step| step.created.clone()));
    after.or_else(|| history.iter().rev().find_map(|step| step.created.clone()))
}

fn clamp(created: &mut Option<String>, epoch: Timestamp) {
    let earlier = created
        .as_deref()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .is_some_and(|time| time <= epoch);
    if !earlier {
        *created = Some(epoch.to_string());
    }
}

#[cfg(test)]
mod tests {
    use tare_core::image::Digest;

    use super::*;

    fn step(created_by: &str, empty_layer: bool, created: Option<&str>) -> History {
        let (created, created_by) = (created.map(str::to_owned), created_by.to_owned());
        History { created, created_by, empty_layer, ..History::default() }
    }

    fn layer(at: Option<i64>) -> LayerMade {
        let made = at.map(|at| (Timestamp::from_second(at).unwrap(), "made".to_owned()));
        LayerMade { diff_id: DiffId(Digest::of(b"x")), made }
    }

    const OLD: &str = "2001-01-01T00:00:00Z";

    fn shown(history: &[History]) -> Vec<(&str, bool, &str)> {
        let created = |step: &History| step.created.as_deref().unwrap_or("never").to_owned();
        history
            .iter()
            .map(|step| {
                let at: &'static str = match created(step).as_str() {
                    OLD => "old",
                    "1970-01-01T00:00:05Z" => "5",
                    "1970-01-01T00:00:09Z" => "9",
                    "never" => "never",
                    _ => "other",
                };
                (step.created_by.as_str(), step.empty_layer, at)
            })
            .collect()
    }

    #[test]
    fn steps_get_the_times_of_layers() {
        let steps = vec![
            step("base", false, Some(OLD)),
            step("env", true, None),
            step("run", false, None),
            step("cmd", true, None),
            step("copy", false, None),
            step("user", true, None),
        ];
        let dated = history(steps, &[layer(None), layer(Some(5)), layer(Some(9))]);
        let expected = [
            ("base", false, "old"),
            ("env", true, "5"),
            ("run", false, "5"),
            ("cmd", true, "5"),
            ("copy", false, "9"),
            ("user", true, "9"),
        ];
        assert_eq!(shown(&dated), expected);
        let settings = vec![step("base", false, Some(OLD)), step("cmd", true, None)];
        let dated = history(settings, &[layer(None)]);
        assert_eq!(shown(&dated), [("base", false, "old"), ("cmd", true, "old")]);
        assert_eq!(shown(&history(vec![step("cmd", true, None)], &[])), [("cmd", true, "never")]);
    }

    #[test]
    fn layers_and_steps_that_have_no_match_are_told_of() {
        let dated = history(vec![step("env", true, None)], &[layer(Some(5))]);
        assert_eq!(shown(&dated), [("env", true, "5"), ("made", false, "5")]);
        assert_eq!(dated[1].comment, UNACCOUNTED);
        let dated =
            history(vec![step("run", false, None), step("more", false, None)], &[layer(Some(5))]);
        assert_eq!(shown(&dated), [("run", false, "5"), ("more", true, "5")]);
    }

    #[test]
    fn nothing_new_is_later_than_it_is_to_be() {
        let image = Image {
            history: vec![step("base", false, Some(OLD)), step("run", false, None)],
            ..Image::default()
        };
        let layers = [layer(None), layer(Some(9))];
        let read = |epoch| -> Image {
            serde_json::from_slice(&blob(&image, &layers, epoch, None).unwrap()).unwrap()
        };
        let plain = read(None);
        assert_eq!(plain.created.as_deref(), Some("1970-01-01T00:00:09Z"));
        assert_eq!(plain.rootfs.diff_ids.len(), 2);
        let clamped = read(Some(5));
        assert_eq!(clamped.created.as_deref(), Some("1970-01-01T00:00:05Z"));
        assert_eq!(shown(&clamped.history), [("base", false, "5"), ("run", false, "5")]);
    }
}

//! Platforms in queries: JSON, as descriptors have them.

use serde::Deserialize;
use tare_core::image::Platform;

use crate::error::{Error, Result};
use crate::query::Query;
use crate::version::ApiVersion;

/// A platform as it comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wire {
    os: String,
    architecture: String,
    variant: String,
    #[serde(rename = "os.version")]
    os_version: String,
    #[serde(rename = "os.features")]
    os_features: Vec<String>,
}

/// The platform of the parameter `platform`, which clients of versions before `since` don't mean.
pub(crate) fn one(
    query: &Query,
    version: ApiVersion,
    since: ApiVersion,
) -> Result<Option<Platform>> {
    let text = query.text("platform").filter(|_| version >= since);
    text.map(decode).transpose()
}

/// The platforms of a parameter that may be given several times.
pub(crate) fn all(
    query: &Query,
    name: &str,
    version: ApiVersion,
    since: ApiVersion,
) -> Result<Vec<Platform>> {
    if version < since {
        return Ok(Vec::new());
    }
    query.all(name).map(decode).collect()
}

fn decode(text: &str) -> Result<Platform> {
    let platform: Wire = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("failed to parse platform: {error}")))?;
    let more = !platform.variant.is_empty()
        || !platform.os_version.is_empty()
        || !platform.os_features.is_empty();
    match (platform.os.is_empty(), platform.architecture.is_empty()) {
        (true, true) if more => Err(Error::invalid(
            "optional platform fields provided, but OS and Architecture are missing",
        )),
        (false, false) => {
            Ok(Platform::of(&platform.os, &platform.architecture, Some(&platform.variant))?)
        }
        _ => Err(Error::invalid("both OS and Architecture must be provided")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::query;

    const V48: ApiVersion = ApiVersion::new(1, 48);

    #[test]
    fn platforms_come_as_json() {
        let arm = "platform=%7B%22os%22:%22linux%22,%22architecture%22:%22arm%22,%22variant%22:%22v7%22%7D";
        let found = one(&query(arm), V48, V48).unwrap().unwrap();
        assert_eq!(found.to_string(), "linux/arm/v7");
        assert_eq!(one(&query(arm), ApiVersion::new(1, 47), V48).unwrap(), None);
        assert_eq!(one(&query(""), V48, V48).unwrap(), None);
        assert_eq!(all(&query(&format!("{arm}&{arm}")), "platform", V48, V48).unwrap().len(), 2);
        for (text, message) in [
            ("linux", "failed to parse platform"),
            ("%7B%7D", "both OS and Architecture"),
            ("%7B%22os%22:%22linux%22%7D", "both OS and Architecture"),
            ("%7B%22variant%22:%22v7%22%7D", "optional platform fields"),
            ("%7B%22os%22:%22plan9%22,%22architecture%22:%22arm%22%7D", "plan9"),
        ] {
            let error = one(&query(&format!("platform={text}")), V48, V48).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}

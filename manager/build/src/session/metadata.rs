//! What is said beside a call: lists of texts under a name.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};

use crate::error::{Error, Result};

/// What a form leaves as it is, but for spaces.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// Adds `values` under `name` to `request`. If one of them can't be said in plain ASCII, or would
/// lose spaces at its ends, all of them are encoded as in a form, and `name-encoded` says so.
pub(super) fn add<T>(request: &mut Request<T>, name: &str, values: &[String]) -> Result<()> {
    let plain = |value: &String| {
        value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value.as_str()
    };
    let are_plain = values.iter().all(plain);
    for value in values {
        let value = if are_plain { value.clone() } else { encoded(value) };
        request.metadata_mut().append(key(name)?, text(name, &value)?);
    }
    if !are_plain {
        request.metadata_mut().insert(key(&format!("{name}-encoded"))?, text(name, "1")?);
    }
    Ok(())
}

/// Says `value` under `name` as it is.
pub(super) fn set<T>(request: &mut Request<T>, name: &str, value: &str) -> Result<()> {
    request.metadata_mut().insert(key(name)?, text(name, value)?);
    Ok(())
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, PLAIN).to_string().replace(' ', "+")
}

fn key(name: &str) -> Result<MetadataKey<Ascii>> {
    name.to_ascii_lowercase()
        .parse()
        .map_err(|_| Error::invalid(format!("{name:?} can't be said to the client: not a key")))
}

fn text(name: &str, value: &str) -> Result<MetadataValue<Ascii>> {
    value
        .parse()
        .map_err(|_| Error::invalid(format!("{name}: {value:?} can't be said to the client")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> (Vec<String>, bool) {
        let mut request = Request::new(());
        let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        add(&mut request, "exclude-patterns", &values).unwrap();
        let said = request.metadata().get_all("exclude-patterns").iter();
        let said = said.map(|value| value.to_str().unwrap().to_owned()).collect();
        (said, request.metadata().get("exclude-patterns-encoded").is_some())
    }

    #[test]
    fn what_is_not_plain_is_encoded_with_all_that_stands_beside_it() {
        assert_eq!(said(&["a b", "!c/*%"]), (vec!["a b".to_owned(), "!c/*%".to_owned()], false));
        let strange = said(&["a b", "é%", "x/**"]);
        let expected = ["a+b", "%C3%A9%25", "x%2F%2A%2A"].map(str::to_owned).to_vec();
        assert_eq!(strange, (expected, true));
        assert_eq!(said(&[" a"]), (vec!["+a".to_owned()], true));
        assert_eq!(said(&["a\nb"]), (vec!["a%0Ab".to_owned()], true));
    }
}

//! What plugins answer: never more than it may be, and refusals in docker's words.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::call::unreached;
use crate::error::{Error, Result};

/// The largest answer: a list of some ten thousand volumes.
const LARGEST: usize = 16 << 20;
/// The most of a refusal's text that is told.
const LONGEST_REFUSAL: usize = 4 << 10;

/// How a plugin says what went wrong.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "Err")]
    text: String,
}

/// The answer to `method`.
pub(super) async fn read<A: for<'a> Deserialize<'a>>(
    method: &str,
    mut response: Response,
) -> Result<A> {
    let status = response.status();
    let mut text = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) => return Err(unreached(method, &error)),
        }
        if text.len() > LARGEST {
            return Err(Error::system(format!(
                "{method}: the plugin's answer has more than {LARGEST} bytes"
            )));
        }
    }
    let refusal: Refusal = serde_json::from_slice(&text).unwrap_or_default();
    if !refusal.text.is_empty() {
        // With docker, too, only those with a status of their own say what was called.
        return Err(match status {
            StatusCode::OK => Error::system(shortened(refusal.text)),
            _ => Error::system(format!("{method}: {}", shortened(refusal.text))),
        });
    }
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&text).into_owned();
        return Err(Error::system(format!("{method}: {}", shortened(text))));
    }
    serde_json::from_slice(&text).map_err(|error| {
        Error::system(format!("{method}: the plugin's answer can't be read: {error}"))
    })
}

fn shortened(mut text: String) -> String {
    if let Some(end) =
        (0..=LONGEST_REFUSAL.min(text.len())).rfind(|end| text.is_char_boundary(*end))
    {
        text.truncate(end);
    }
    text
}

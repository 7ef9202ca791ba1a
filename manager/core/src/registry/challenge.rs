//! What a registry wants to see before it serves: the header `WWW-Authenticate`.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from the service at `realm`.
    Bearer { realm: String, service: String, scope: String, error: Option<Refused> },
    /// User and password.
    Basic,
}

/// What the registry says about a token that was not good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: TokenError,
    /// Its own words, if it has any.
    pub(super) description: Option<String>,
}

/// Why a token was not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenError {
    /// It is old, or not ours.
    Invalid,
    /// It doesn't allow that.
    InsufficientScope,
}

impl Challenge {
    /// The ways that an answer offers; those that we don't know are left out.
    pub(super) fn of(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values.filter_map(|value| parse(value.to_str().ok()?)).collect()
    }

    /// What it says of the token that was shown.
    pub(super) fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Bearer { error, .. } => error.as_ref(),
            Self::Basic => None,
        }
    }
}

fn parse(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, String::new(), String::new());
    let (mut error, mut description) = (None, None);
    for (key, value) in parameters(rest) {
        match key.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = value,
            "scope" => scope = value,
            "error" => {
                error = match value.as_str() {
                    "invalid_token" => Some(TokenError::Invalid),
                    "insufficient_scope" => Some(TokenError::InsufficientScope),
                    _ => None,
                }
            }
            "error_description" => description = Some(value).filter(|text| !text.is_empty()),
            _ => {}
        }
    }
    let error = error.map(|reason| Refused { reason, description });
    Some(Challenge::Bearer { realm: realm?, service, scope, error })
}

/// `a=b,c="d \" e"` taken apart, as far as it is well formed.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let Some((value, left)) = value(after) else { break };
        found.push((key.trim().to_owned(), value));
        rest = left.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        assert_eq!(parse("Basic realm=\"x\""), Some(Challenge::Basic));
        let text = "Bearer realm=\"https://auth.test/token\",service=\"a, \\\"b\\\"\", \
                    scope=\"repository:x:pull,push\",error=insufficient_scope,\
                    error_description=\"go away\"";
        assert_eq!(
            parse(text),
            Some(Challenge::Bearer {
                realm: "https://auth.test/token".to_owned(),
                service: "a, \"b\"".to_owned(),
                scope: "repository:x:pull,push".to_owned(),
                error: Some(Refused {
                    reason: TokenError::InsufficientScope,
                    description: Some("go away".to_owned()),
                }),
            })
        );
    }

    #[test]
    fn what_is_malformed_is_no_challenge() {
        for text in ["", "Digest realm=x", "Bearer", "Bearer realm=\"x", "Bearer service=a"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

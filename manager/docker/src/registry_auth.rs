//! The header `X-Registry-Auth`: what a client wants shown to the registry.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use tare_core::registry::Credentials;

use crate::error::Error;

const HEADER: &str = "x-registry-auth";

/// Base64 for addresses, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials as the API has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthConfig {
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
    serveraddress: Option<String>,
}

impl From<AuthConfig> for Credentials {
    fn from(config: AuthConfig) -> Self {
        Self {
            username: config.username.unwrap_or_default(),
            password: config.password.unwrap_or_default(),
            identity_token: config.identitytoken.unwrap_or_default(),
            registry_token: config.registrytoken.unwrap_or_default(),
            server: config.serveraddress.unwrap_or_default(),
        }
    }
}

/// What the header has. One that can't be read counts as none, as it does in docker: many clients
/// send nonsense when they have nothing.
#[derive(Debug)]
pub(crate) struct RegistryAuth(pub(crate) Credentials);

impl<S: Sync> FromRequestParts<S> for RegistryAuth {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let value = parts.headers.get(HEADER).and_then(|value| value.to_str().ok());
        Ok(Self(value.and_then(decode).unwrap_or_default()))
    }
}

fn decode(text: &str) -> Option<Credentials> {
    let json = BASE64.decode(text.trim()).ok()?;
    serde_json::from_slice::<AuthConfig>(&json).ok().map(Credentials::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_paddings_are_read_and_nonsense_is_nothing() {
        let json = br#"{"username":"alice","password":"pass>?","serveraddress":"r.test"}"#;
        for text in [
            base64::engine::general_purpose::URL_SAFE.encode(json),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json),
        ] {
            let credentials = decode(&text).unwrap();
            assert_eq!(credentials.username, "alice");
            assert_eq!(credentials.password, "pass>?");
        }
        assert!(decode("null").is_none());
        assert!(decode("").is_none());
    }
}

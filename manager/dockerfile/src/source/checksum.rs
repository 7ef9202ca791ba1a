//! Digests of what is fetched.

use crate::error::{Error, Result};

/// Makes sure that `text` is a digest.
pub(crate) fn digest(text: &str) -> Result<()> {
    let Some((algorithm, value)) = text.split_once(':').filter(|(algorithm, value)| {
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        !algorithm.is_empty() && !value.is_empty() && word(algorithm) && word(value)
    }) else {
        return Err(Error::new("invalid checksum digest format"));
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(Error::new("unsupported digest algorithm")),
    };
    if value.len() != length {
        return Err(Error::new("invalid checksum digest length"));
    }
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !value.bytes().all(lower) {
        return Err(Error::new("invalid checksum digest format"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_a_known_form() {
        digest(&format!("sha256:{}", "0a".repeat(32))).unwrap();
        digest(&format!("sha512:{}", "0a".repeat(64))).unwrap();
        for (wrong, expected) in [
            ("", "invalid checksum digest format"),
            ("sha256", "invalid checksum digest format"),
            ("md5:ab", "unsupported digest algorithm"),
            ("sha256:ab", "invalid checksum digest length"),
            (&format!("sha256:{}", "0A".repeat(32)), "invalid checksum digest format"),
        ] {
            assert_eq!(digest(wrong).unwrap_err().to_string(), expected);
        }
    }
}

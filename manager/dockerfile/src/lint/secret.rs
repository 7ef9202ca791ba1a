//! Names of variables whose values nobody else should see.

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether a part of `name` says that it is a secret, and none that it isn't.
pub(crate) fn looks_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_of_names_count() {
        for secret in ["API_KEY", "DATABASE_PASSWORD", "GITHUB_TOKEN", "secret_MESSAGE", "AUTH"] {
            assert!(looks_secret(secret), "{secret}");
        }
        for harmless in ["KEYBOARD", "MONKEY", "PUBLIC_KEY", "PASSWORD_FILE", "TOKENS", ""] {
            assert!(!looks_secret(harmless), "{harmless}");
        }
    }
}

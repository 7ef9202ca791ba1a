//! Who we say we are.

use std::fmt;

/// What a client gave us to show to a registry; each part may be empty.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password, or what goes for one.
    pub password: String,
    /// Earlier got for the password; gets tokens without it.
    pub identity_token: String,
    /// A token that is shown as it is.
    pub registry_token: String,
    /// The registry that this is for; empty: the one that is asked.
    pub server: String,
}

impl Credentials {
    /// The user and the password, if there are both.
    pub(super) fn basic(&self) -> Option<(&str, &str)> {
        let there = !self.username.is_empty() && !self.password.is_empty();
        there.then_some((&self.username, &self.password))
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

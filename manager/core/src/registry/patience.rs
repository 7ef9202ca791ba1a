//! How long and how often something is tried.

use std::time::Duration;

/// The longest that a registry may make us wait before the next try.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How long and how often something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// Tries of one request, the first included; also the tries of a download that get nowhere.
    pub attempts: u32,
    /// Before the second try; doubled before each one after it.
    pub wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            attempts: 5,
            wait: Duration::from_secs(1),
        }
    }
}

impl Patience {
    /// The wait after try number `attempt`, counted from 1; `asked` is what the registry asked
    /// for. None: that was the last try, or the registry asks for too much.
    pub(crate) fn after(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = self.wait.saturating_mul(1 << (attempt - 1).min(8));
        let wait = asked.unwrap_or_default().max(doubled.min(LONGEST_WAIT));
        (wait <= LONGEST_WAIT).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let patience = Patience { attempts: 3, ..Patience::default() };
        let second = Duration::from_secs(1);
        assert_eq!(patience.after(1, None), Some(second));
        assert_eq!(patience.after(2, None), Some(2 * second));
        assert_eq!(patience.after(3, None), None);
        assert_eq!(patience.after(1, Some(7 * second)), Some(7 * second));
        assert_eq!(patience.after(1, Some(1000 * second)), None);
    }
}

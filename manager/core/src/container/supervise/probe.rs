//! The health check as the shim is told of it.

use tare_proto::tare::shim::v1::HealthCheck;

use crate::container::options::ExecConfig;
use crate::container::record::Container;
use crate::container::spec::user::Account;
use crate::container::spec::{self, HostFacts};
use crate::error::{Error, Result};
use crate::image::Healthcheck;

const SECOND: i64 = 1_000_000_000;
/// Times and counts that aren't said.
const INTERVAL: i64 = 30 * SECOND;
const TIMEOUT: i64 = 30 * SECOND;
const START_INTERVAL: i64 = 5 * SECOND;
const RETRIES: i64 = 3;
/// The shell of a check that is a line for one.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a health check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Test<'a> {
    /// Nothing.
    Nothing,
    /// A program.
    Program(&'a [String]),
    /// Lines for a shell.
    Shell(&'a [String]),
    /// What we have no meaning for.
    Unknown(&'a str),
}

impl<'a> Test<'a> {
    /// That of a container's settings.
    pub(in crate::container) fn of(check: Option<&'a Healthcheck>) -> Self {
        let Some((kind, words)) = check.and_then(|check| check.test.split_first()) else {
            return Self::Nothing;
        };
        match kind.as_str() {
            "NONE" => Self::Nothing,
            "CMD" => Self::Program(words),
            "CMD-SHELL" => Self::Shell(words),
            other => Self::Unknown(other),
        }
    }
}

/// Whether the container's health is checked.
pub(in crate::container) fn is_checked(container: &Container) -> bool {
    match Test::of(container.config.healthcheck.as_ref()) {
        Test::Program(_) | Test::Shell(_) => true,
        Test::Nothing | Test::Unknown(_) => false,
    }
}

/// The health check of a container whose user is `account`, if it has one: a process beside its
/// own, as an exec would make it.
pub(in crate::container) fn check_of(
    container: &Container,
    account: &Account,
    facts: &HostFacts,
) -> Result<Option<HealthCheck>> {
    let Some(check) = &container.config.healthcheck else { return Ok(None) };
    let cmd = match Test::of(Some(check)) {
        Test::Nothing | Test::Unknown(_) => return Ok(None),
        Test::Program(words) => words.to_vec(),
        Test::Shell(lines) => {
            let shell = container.config.shell.clone();
            let shell = shell.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
            [shell.as_slice(), lines].concat()
        }
    };
    let config = ExecConfig { cmd, ..ExecConfig::default() };
    let process = spec::exec_process(container, &config, None, account, facts)?;
    let process = serde_json::to_vec(&process)
        .map_err(|error| Error::system(format!("encode the health check: {error}")))?;
    let or = |said: i64, default: i64| {
        u64::try_from(if said > 0 { said } else { default }).unwrap_or_default()
    };
    Ok(Some(HealthCheck {
        process: process.into(),
        interval_ns: or(check.interval, INTERVAL),
        timeout_ns: or(check.timeout, TIMEOUT),
        start_period_ns: or(check.start_period, 0),
        start_interval_ns: or(check.start_interval, START_INTERVAL),
        retries: u32::try_from(or(check.retries, RETRIES)).unwrap_or(u32::MAX),
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::container::fixture;

    fn check(test: &[&str], shell: Option<Vec<String>>) -> Option<(Vec<String>, HealthCheck)> {
        let mut container = fixture::container();
        let test = test.iter().map(|&word| word.to_owned()).collect();
        container.config.healthcheck =
            Some(Healthcheck { test, interval: SECOND, ..Healthcheck::default() });
        container.config.shell = shell;
        let facts = HostFacts {
            capabilities: BTreeSet::new(),
            kernel: (6, 1),
            seccomp: true,
            no_new_privileges: false,
        };
        let found = check_of(&container, &Account::default(), &facts).unwrap();
        assert_eq!(found.is_some(), is_checked(&container));
        found.map(|check| {
            let process: serde_json::Value = serde_json::from_slice(&check.process).unwrap();
            (serde_json::from_value(process["args"].clone()).unwrap(), check)
        })
    }

    #[test]
    fn a_line_is_for_the_shell_and_words_are_a_program() {
        assert_eq!(check(&["CMD", "a", "b"], None).unwrap().0, ["a", "b"]);
        assert_eq!(check(&["CMD-SHELL", "a b"], None).unwrap().0, ["/bin/sh", "-c", "a b"]);
        let own = Some(vec!["/bin/ash".to_owned(), "-ec".to_owned()]);
        assert_eq!(check(&["CMD-SHELL", "a"], own).unwrap().0, ["/bin/ash", "-ec", "a"]);
        for nothing in [&["NONE"][..], &[], &["WHAT", "x"]] {
            assert!(check(nothing, None).is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_dockers_default() {
        let (_, check) = check(&["CMD", "a"], None).unwrap();
        let seconds = [check.interval_ns, check.timeout_ns, check.start_interval_ns];
        assert_eq!(seconds.map(|ns| ns / 1_000_000_000), [1, 30, 5]);
        assert_eq!((check.start_period_ns, check.retries), (0, 3));
    }
}

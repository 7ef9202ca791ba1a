//! What is to be run, and when, as a caller asks for it.

use std::time::Duration;

use tare_proto::tare::shim::v1 as api;

use super::status::Timing;
use crate::error::{Error, Result};
use crate::task::exec::with_terminal;

/// How to find out whether a container is well.
#[derive(Debug)]
pub(in crate::task) struct HealthCheck {
    /// The command: an OCI process object as JSON.
    pub(super) process: Vec<u8>,
    /// When it is run, and what its results mean.
    pub(super) timing: Timing,
}

impl HealthCheck {
    /// Reads what the caller gave.
    pub(in crate::task) fn read(check: &api::HealthCheck) -> Result<Self> {
        let positive = |name: &str, nanoseconds| match nanoseconds {
            0 => Err(Error::invalid(format!("a health check's {name} must be positive"))),
            some => Ok(Duration::from_nanos(some)),
        };
        if check.retries == 0 {
            return Err(Error::invalid("a health check's retries must be positive"));
        }
        Ok(HealthCheck {
            process: with_terminal(&check.process, false)?,
            timing: Timing {
                interval: positive("interval", check.interval_ns)?,
                timeout: positive("timeout", check.timeout_ns)?,
                start_period: Duration::from_nanos(check.start_period_ns),
                start_interval: positive("start interval", check.start_interval_ns)?,
                retries: check.retries,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_positive_is_named() {
        let good = api::HealthCheck {
            process: br#"{"args":["true"]}"#.to_vec().into(),
            interval_ns: 1,
            timeout_ns: 2,
            start_period_ns: 0,
            start_interval_ns: 3,
            retries: 4,
        };
        let timing = HealthCheck::read(&good).unwrap().timing;
        assert_eq!((timing.timeout, timing.retries), (Duration::from_nanos(2), 4));
        let refused = |bad: api::HealthCheck| HealthCheck::read(&bad).unwrap_err().to_string();
        let words = refused(api::HealthCheck { interval_ns: 0, ..good.clone() });
        assert!(words.contains("interval"), "{words}");
        assert!(refused(api::HealthCheck { retries: 0, ..good.clone() }).contains("retries"));
        assert!(refused(api::HealthCheck { process: "[]".into(), ..good }).contains("process"));
    }
}

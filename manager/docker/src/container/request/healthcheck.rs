//! `Healthcheck`: how to find out whether a container is well.

use serde::Deserialize;
use tare_core::image::Healthcheck;

use crate::version::ApiVersion;

/// The first version in which the probes of the start period have an interval of their own.
const START_INTERVAL_SINCE: ApiVersion = ApiVersion::new(1, 44);

/// Docker's `HealthConfig`; times are in nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct HealthcheckBody {
    test: Option<Vec<String>>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<i64>,
}

impl HealthcheckBody {
    pub(super) fn into_domain(self, version: ApiVersion) -> Healthcheck {
        let start_interval = self.start_interval.filter(|_| version >= START_INTERVAL_SINCE);
        Healthcheck {
            test: self.test.unwrap_or_default(),
            interval: self.interval.unwrap_or_default(),
            timeout: self.timeout.unwrap_or_default(),
            start_period: self.start_period.unwrap_or_default(),
            start_interval: start_interval.unwrap_or_default(),
            retries: self.retries.unwrap_or_default(),
        }
    }
}

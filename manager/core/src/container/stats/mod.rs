//! What a container uses of the machine. Its shim reads its cgroup, and only when somebody asks.

mod host;
mod sample;
mod v1;
mod v2;

use std::sync::Arc;

use jiff::Timestamp;
use prost::{DecodeError, Message};
use prost_types::Any;
use tare_proto::containerd::cgroups;

use super::Containers;
use super::id::ContainerId;
use super::work::blocking;
use crate::error::{Error, Kind, Result};

pub use sample::{BlockIo, BlockIoEntry, Cpu, Figures, Memory, Pids, Processors, Sample, Traffic};

/// Names of the two sorts of figures that a shim gives.
const V1: &str = "io.containerd.cgroups.v1.Metrics";
const V2: &str = "io.containerd.cgroups.v2.Metrics";

impl Containers {
    /// What a container uses now; `None` while it has no process.
    ///
    /// # Errors
    /// Not found if there is no such container any more; system or unavailable if the figures can't
    /// be read.
    pub async fn sample(self: &Arc<Self>, id: &ContainerId) -> Result<Option<Sample>> {
        let entry = self.index.get(id)?;
        let Some(pid) = entry.container().state.life().map(|life| life.pid) else {
            return Ok(None);
        };
        let read = match entry.shim() {
            Ok(shim) => shim.stats().await,
            Err(error) => Err(error),
        };
        let metrics = match read {
            Ok(metrics) => metrics,
            // It has ended just now.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut figures = figures(&metrics)?;
        // "No limit" is more than there is.
        if self.host_memory > 0 {
            figures.memory.limit = figures.memory.limit.min(self.host_memory);
        }
        // Close to the container's own, so that the two compare.
        let (processors, networks) =
            blocking(move || Ok((host::processors()?, host::traffic(pid)))).await?;
        let read = Timestamp::now();
        Ok(Some(Sample { read, figures, processors, networks }))
    }
}

/// What a shim told.
fn figures(metrics: &Any) -> Result<Figures> {
    let wrong = |error: DecodeError| Error::system(format!("read a container's figures: {error}"));
    let bytes = metrics.value.as_slice();
    match metrics.type_url.as_str() {
        V1 => Ok(v1::figures(cgroups::v1::Metrics::decode(bytes).map_err(wrong)?)),
        V2 => Ok(v2::figures(cgroups::v2::Metrics::decode(bytes).map_err(wrong)?)),
        other => Err(Error::system(format!("a container's figures are of no known kind: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_their_name() {
        let any = |type_url: &str, value| Any { type_url: type_url.to_owned(), value };
        let pids = cgroups::v1::PidsStat { current: 3, limit: 0 };
        let metrics = cgroups::v1::Metrics { pids: Some(pids), ..Default::default() };
        assert_eq!(figures(&any(V1, metrics.encode_to_vec())).unwrap().pids.current, 3);
        let pids = cgroups::v2::PidsStat { current: 4, limit: u64::MAX };
        let metrics = cgroups::v2::Metrics { pids: Some(pids), ..Default::default() };
        assert_eq!(figures(&any(V2, metrics.encode_to_vec())).unwrap().pids.current, 4);
        assert!(figures(&any("x", Vec::new())).is_err());
        assert!(figures(&any(V2, vec![0xff])).is_err());
    }
}

//! What a container uses of the machine, read from its cgroup and told as containerd tells it.

mod read;
mod v1;
mod v2;

use prost::Message;
use prost_types::Any;

use crate::cgroup::Cgroups;

/// The figures of the cgroups that a container is in: `Metrics` of containerd's cgroups API, of the
/// version that the host has. What the host doesn't count is 0 or missing.
pub(crate) fn measure(cgroups: &Cgroups) -> Any {
    match cgroups {
        Cgroups::V1(by_controller) => {
            any("io.containerd.cgroups.v1.Metrics", &v1::measure(by_controller))
        }
        Cgroups::V2(cgroup) => any("io.containerd.cgroups.v2.Metrics", &v2::measure(cgroup)),
    }
}

fn any(name: &str, metrics: &impl Message) -> Any {
    Any { type_url: name.to_owned(), value: metrics.encode_to_vec() }
}

//! The wire formats that Tare's programs speak to each other and to containerd: types, and the names
//! that stand in them.

// Generated code has no docs of its own; the .proto files are its documentation.
#![allow(missing_docs, unreachable_pub, clippy::all)]

pub mod log;
pub mod record;
pub mod ttrpc;

/// containerd's API.
pub mod containerd {
    /// Shared types.
    pub mod types {
        tonic::include_proto!("containerd.types");
    }
    /// Types of the first generation that the Task API still uses.
    pub mod v1 {
        /// States and process lists.
        pub mod types {
            tonic::include_proto!("containerd.v1.types");
        }
    }
    /// Events of tasks.
    pub mod events {
        tonic::include_proto!("containerd.events");
    }
    /// containerd's own services.
    pub mod services {
        /// The one that takes events.
        pub mod events {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("containerd.services.events.v1");
            }
        }
    }
    /// The Task API.
    pub mod task {
        /// Version 3.
        pub mod v3 {
            tonic::include_proto!("containerd.task.v3");
        }
    }
    /// What is told of a container's cgroup.
    pub mod cgroups {
        /// Of version 1.
        pub mod v1 {
            tonic::include_proto!("io.containerd.cgroups.v1");
        }
        /// Of version 2.
        pub mod v2 {
            tonic::include_proto!("io.containerd.cgroups.v2");
        }
    }
    /// Options of shims, before there were those of runc's.
    pub mod linux {
        /// The same for all.
        pub mod runc {
            tonic::include_proto!("containerd.linux.runc");
        }
    }
    /// Options of runc-compatible shims.
    pub mod runc {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("containerd.runc.v1");
        }
    }
}

/// What builds speak with their clients, `BuildKit`'s API: modules are named as the packages are.
pub mod builds {
    tonic::include_proto!("builds");
}

/// docker's.
pub mod docker {
    /// What the `local` log driver writes.
    pub mod logdriver {
        tonic::include_proto!("docker.logdriver");
    }
}

/// Tare's own additions.
pub mod tare {
    /// The shim's.
    pub mod shim {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("tare.shim.v1");
        }
    }
}

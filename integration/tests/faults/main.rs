//! What disks, registries and crowds do to a store of images: nothing of it may be left broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod content;
mod crowd;
mod disk;
mod full;
mod liar;
mod lies;
mod pushes;
mod records;
mod usage;

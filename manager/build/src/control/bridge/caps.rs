//! What clients may ask of us, by BuildKit's names. What isn't here, they leave out or refuse
//! themselves: attestations, merges and differences of results, containers for debugging, and caches
//! at particular clouds.

use tare_proto::builds::moby::buildkit::v1::apicaps::ApiCap;

/// What the services of the gateway do.
const GATEWAY: &[&str] = &[
    "frontend.caps",
    "frontend.inputs",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "gateway.solve.metadata",
    "gateway.warnings",
    "importcaches",
    "proto.refarray",
    "readdir",
    "readfile",
    "reference.output",
    "return",
    "returnmap",
    "solve.base",
    "statfile",
];

/// What builds do.
const BUILDS: &[&str] = &[
    "exporter.image.annotations",
    "exporter.multiple",
    "exporter.sourcedateepoch",
    "gc.freespacefilter",
    "history.filter",
    "meta.description",
    "meta.exportcache",
    "meta.ignorecache",
    "platform",
    "source.git",
    "source.git.checksum",
    "source.git.fullurl",
    "source.git.httpauth",
    "source.git.keepgitdir",
    "source.git.knownsshhosts",
    "source.git.mountsshsock",
    "source.git.subdir",
    "source.http",
    "source.http.checksum",
    "source.http.perm",
    "source.image",
    "source.image.resolvemode",
    "source.local",
    "source.local.excludepatterns",
    "source.local.followpaths",
    "source.local.includepatterns",
    "source.local.sessionid",
    "source.local.sharedkeyhint",
    "source.local.unique",
    "source.ocilayout",
];

/// What the services of the gateway do.
pub(super) fn gateway() -> Vec<ApiCap> {
    enabled(GATEWAY)
}

/// What builds do.
pub(super) fn builds() -> Vec<ApiCap> {
    enabled(BUILDS)
}

fn enabled(names: &[&str]) -> Vec<ApiCap> {
    let cap = |&name: &&str| ApiCap { id: name.to_owned(), enabled: true, ..ApiCap::default() };
    names.iter().map(cap).collect()
}

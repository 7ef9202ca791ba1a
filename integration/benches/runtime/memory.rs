//! How much memory a container's start takes.

use crate::bundle::Bundle;
use crate::command::{peak_of, succeeds};
use crate::contender::Contender;

/// How often a figure is taken.
const TRIES: usize = 5;

/// Of each contender the largest resident set of `run`, in KiB: the least of a few runs.
pub(crate) fn peak(contenders: &[Contender], bundle: &Bundle) -> Vec<Option<u64>> {
    contenders
        .iter()
        .map(|one| (0..TRIES).map(|_| peak_of(&one.run(bundle, "peak"))).min())
        .collect()
}

/// The limits that are tried, in KiB.
const LIMITS: [u64; 14] =
    [256, 384, 512, 640, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384];

/// Of each runtime the smallest memory limit, in KiB, in which it runs the container each time.
pub(crate) fn smallest_limit(contenders: &[Contender], bundle: &Bundle) -> Vec<Option<u64>> {
    let runs_in = |one: &Contender, limit: u64| {
        bundle.configure(&["/bin/true"], |config| {
            config["linux"]["resources"]["memory"]["limit"] = (limit * 1024).into();
        });
        (0..TRIES).all(|_| {
            let ran = succeeds(one.run(bundle, "limited"));
            if !ran {
                let mut delete = one.command(bundle);
                delete.args(["delete", "--force", "limited"]);
                succeeds(delete);
            }
            ran
        })
    };
    contenders
        .iter()
        .map(|one| {
            one.is_runtime().then(|| LIMITS.into_iter().find(|limit| runs_in(one, *limit)))?
        })
        .collect()
}

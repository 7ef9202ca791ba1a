//! Pulls, into an empty store and into one that has most of the layers.

use crate::contender::Kind;
use crate::library::Library;
use crate::report::Report;
use crate::rounds::measure as rounds;
use crate::sets::{PULLED, SHARED};
use crate::settings::Settings;

/// Measures pulls into an empty store.
pub(crate) fn measure(library: &Library<'_>, settings: &Settings, report: &mut Report) {
    for set in &PULLED {
        let forms = [("", "gzip"), ("-zstd", "zstd")];
        for (suffix, compression) in &forms[..1 + usize::from(set.zstd)] {
            let name = format!("{}{suffix}", set.name);
            if !settings.wants_image(&name) {
                continue;
            }
            let megabytes = library.compressed(&name) >> 20;
            let what = format!("pull {name} ({}, {compression}, {megabytes} MiB)", set.what);
            let image = library.image(&name);
            let pull = |contender: &crate::contender::Contender| contender.pull(&image);
            rounds(library, settings, report, &what, &Kind::ALL, |_| (), pull);
        }
    }
}

/// Measures a pull of an image that shares layers with one that is there.
pub(crate) fn measure_shared(library: &Library<'_>, settings: &Settings, report: &mut Report) {
    let (there, image) = (library.image("twelve"), library.image(SHARED.name));
    let what = format!("pull {} ({})", SHARED.name, SHARED.what);
    rounds(
        library,
        settings,
        report,
        &what,
        &Kind::ALL,
        |contender| contender.pull(&there),
        |contender| contender.pull(&image),
    );
}

//! Images as archives.

use std::process::Stdio;

use crate::contender::{Contender, Kind};
use crate::library::Library;
use crate::machine::ok;
use crate::report::Report;
use crate::rounds::measure as rounds;
use crate::settings::Settings;

/// Measures load and save.
pub(crate) fn measure(library: &Library<'_>, settings: &Settings, report: &mut Report) {
    let load = |contender: &Contender, name: &str| {
        ok(contender.docker("load --quiet --input").arg(library.archive(name)));
    };
    for name in ["one", "twelve", "many"].into_iter().filter(|name| settings.wants_image(name)) {
        let what = format!("load {name}");
        rounds(library, settings, report, &what, &Kind::DOCKER, |_| (), |one| load(one, name));
        let what = format!("save {name}");
        let save = |contender: &Contender| {
            let mut command = contender.docker("save");
            let status = command.arg(library.image(name)).stdout(Stdio::null()).status();
            assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
        };
        rounds(library, settings, report, &what, &Kind::DOCKER, |one| load(one, name), save);
    }
}

//! The list of a thousand images.

use std::time::Instant;

use tare_integration::http;

use crate::contender::{Contender, Kind};
use crate::library::Library;
use crate::machine::ok;
use crate::report::{Better, Report};
use crate::sets::LISTED;
use crate::settings::Settings;

/// Measures the API's list, without docker's command line.
pub(crate) fn measure(library: &Library<'_>, settings: &Settings, report: &mut Report) {
    let times = settings.contenders(&Kind::DOCKER).into_iter().map(|kind| {
        let contender = Contender::open(library.machine, kind, settings);
        ok(contender.docker("load --quiet --input").arg(library.archive("thousand")));
        let list = || {
            let begun = Instant::now();
            let answer = http::get(&contender.socket(), "/images/json").expect("ask the daemon");
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            let images = answer.json().as_array().map(Vec::len);
            assert_eq!(images, Some(LISTED), "{}", answer.head);
            took
        };
        (kind.name(), (0..settings.rounds() * 4).map(|_| list()).collect::<Vec<f64>>())
    });
    let times: Vec<_> = times.collect();
    report.add(format!("list of {LISTED} images"), "ms", Better::Less, times);
}

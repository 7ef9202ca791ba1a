//! Contenders take turns, round by round, each with a store of its own.

use crate::contender::{Contender, Figures, Kind};
use crate::library::Library;
use crate::report::{Better, Report};
use crate::settings::Settings;

/// One of the figures, by its name and its unit.
type Column = (&'static str, &'static str, fn(&Figures) -> f64);

/// Measures `work` of each contender in each round; `prepare` comes before it, unmeasured.
pub(crate) fn measure(
    library: &Library<'_>,
    settings: &Settings,
    report: &mut Report,
    what: &str,
    contenders: &[Kind],
    prepare: impl Fn(&Contender),
    work: impl Fn(&Contender),
) {
    let kinds = settings.contenders(contenders);
    let mut all: Vec<(Kind, Vec<Figures>)> = kinds.into_iter().map(|kind| (kind, vec![])).collect();
    for round in 0..settings.rounds() {
        let count = all.len();
        for turn in 0..count {
            // Each comes first, and after each other, equally often.
            let (kind, figures) = &mut all[(turn + round) % count];
            let contender = Contender::open(library.machine, *kind, settings);
            prepare(&contender);
            figures.push(contender.measure(|| work(&contender)));
        }
    }
    let columns: [Column; 4] = [
        ("until told", "ms", |figures| figures.told),
        ("until on the disk", "ms", |figures| figures.synced),
        ("processors", "ms", |figures| figures.cpu),
        ("memory", "MiB", |figures| figures.memory),
    ];
    for (column, unit, pick) in columns {
        let contenders = all
            .iter()
            .map(|(kind, figures)| (kind.name(), figures.iter().map(pick).collect::<Vec<_>>()));
        report.add(format!("{what}: {column}"), unit, Better::Less, contenders);
    }
}

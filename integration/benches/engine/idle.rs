//! A daemon that does nothing.

use std::time::Duration;

use crate::account::Cost;
use crate::engine::{Engine, Kind};
use crate::machine::Machine;
use crate::report::{Better, Report};
use crate::settings::Settings;
use crate::weight::{processes, wakes, weigh};

/// What follows the last call is over after such a time.
pub(crate) const SETTLING: Duration = Duration::from_secs(3);
/// For how long it is looked what is used.
const REST: Duration = Duration::from_secs(10);

/// Measures the daemons one after the other, so that none shares a page with another. Each has done
/// something before.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let (mut memory_of, mut cpu_of, mut wakes_of) = (Vec::new(), Vec::new(), Vec::new());
    for kind in settings.engines(&Kind::DAEMONS) {
        let engine = Engine::open(machine, kind);
        (0..settings.rounds()).for_each(|_| drop(engine.run("--rm", &["true"])));
        let Cost { cpu, .. } = rest(machine);
        cpu_of.push((kind.name(), vec![cpu]));
        memory_of.push((kind.name(), vec![memory(kind)]));
        let daemons: Vec<_> = kind.daemons().iter().flat_map(|name| processes(name)).collect();
        let wakes = wakes(&daemons) * daemons.len() as f64;
        wakes_of.push((kind.name(), vec![wakes]));
    }
    report.add("idle daemon: memory (PSS)", "MiB", Better::Less, memory_of);
    report.add("idle daemon: processor time in ten seconds", "ms", Better::Less, cpu_of);
    report.add("idle daemon: wake-ups", "per second", Better::Less, wakes_of);
}

/// What all that runs here uses of the processors while nobody asks for anything.
pub(crate) fn rest(machine: &Machine) -> Cost {
    std::thread::sleep(SETTLING);
    machine.account.cost(|| std::thread::sleep(REST)).1
}

/// MiB of memory that an engine's daemons have together, whatever its containers have.
pub(crate) fn memory(kind: Kind) -> f64 {
    let of = |name: &&str| {
        let daemons = weigh(&processes(name));
        daemons.pss * daemons.processes as f64
    };
    kind.daemons().iter().map(of).sum::<f64>() / 1024.0
}

//! What a user waits for.

use crate::calls::compare;
use crate::daemon::Daemon;
use crate::machine::{Machine, ok};
use crate::report::Report;
use crate::settings::Settings;

/// Measures `docker run` and `docker exec`, with the time that the command line itself takes.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let mut daemons = Daemon::both(machine);
    let rounds = settings.rounds();
    for (what, flags) in [("docker run --rm of true", "--rm"), ("docker run -d of true", "-d")] {
        compare(report, what, rounds, &mut daemons, |daemon, _| {
            machine.account.cost(|| daemon.run(flags, &["true"])).1
        });
    }
    for (_, daemon) in &daemons {
        daemon.run("--detach --name idle", &["sleep", "100000"]);
    }
    compare(report, "docker exec of true", rounds, &mut daemons, |daemon, _| {
        machine.account.cost(|| ok(&mut daemon.docker("exec idle true"))).1
    });
    compare(report, "docker version, for comparison", rounds, &mut daemons, |daemon, _| {
        machine.account.cost(|| ok(&mut daemon.docker("version"))).1
    });
}

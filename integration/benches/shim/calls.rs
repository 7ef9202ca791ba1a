//! Calls of the shim: its start, and an exec through it.

use std::path::Path;
use std::process::Command;

use tare_integration::turns::{Rounds, in_turns};

use crate::account::Cost;
use crate::bundle;
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;
use crate::shim::{Shim, programs};

/// Rounds that come before those that count.
const WARM_UP: usize = 3;

/// Calls `one_round` with each contender in turn, which gives what it cost; adds the costs.
pub(crate) fn compare<C>(
    report: &mut Report,
    what: &str,
    rounds: usize,
    contenders: &mut [(&'static str, C)],
    mut one_round: impl FnMut(&mut C, usize) -> Cost,
) {
    let rounds = Rounds { warm_up: WARM_UP, counted: rounds };
    let costs = in_turns(contenders, rounds, |(_, contender), round| one_round(contender, round));
    let figures = |part: fn(&Cost) -> f64| {
        let names = contenders.iter().map(|(name, _)| *name);
        names.zip(costs.iter().map(|costs| costs.iter().map(part).collect())).collect::<Vec<_>>()
    };
    report.add(what, "ms", Better::Less, figures(|cost| cost.wall));
    report.add(format!("{what}: processor time"), "ms", Better::Less, figures(|cost| cost.cpu));
}

/// Measures them, with a containerd about for the shims to tell their events to.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let rounds = settings.rounds();
    let mut shims = programs(machine);
    compare(report, "shim's start to its first answer", rounds, &mut shims, |program, round| {
        let id = format!("start-{round}");
        let bundle = bundle::make(machine, &id);
        let (shim, cost) = machine.account.cost(|| Shim::start(program, &bundle, &id));
        shim.end(false);
        cost
    });

    let mut containers = programs(machine).map(|(name, program)| {
        let id = format!("exec-{name}");
        let bundle = bundle::make(machine, &id);
        let mut shim = Shim::start(&program, &bundle, &id);
        shim.run();
        (name, shim)
    });
    compare(report, "exec of true through the shim", rounds, &mut containers, |shim, _| {
        machine.account.cost(|| shim.exec()).1
    });
    containers.into_iter().for_each(|(_, shim)| shim.end(true));

    let mut containers = programs(machine).map(|(name, program)| {
        let id = format!("ctr-{name}");
        ok(&mut run(machine, &program, &id));
        (name, id)
    });
    compare(report, "ctr task exec of true", rounds, &mut containers, |id, round| {
        let mut exec = Command::new("ctr");
        exec.args(["task", "exec", "--exec-id", &format!("e{round}"), id, "/bin/true"]);
        machine.account.cost(|| ok(&mut exec)).1
    });
    for (_, id) in containers {
        remove(&id);
    }
}

/// `ctr run` of a container that sleeps, whose output goes to a file.
pub(crate) fn run(machine: &Machine, shim: &Path, id: &str) -> Command {
    let runtime = match shim.is_absolute() {
        true => shim.display().to_string(),
        false => "io.containerd.runc.v2".to_owned(),
    };
    let log = format!("file://{}", machine.path(&format!("logs/{id}")).display());
    let mut ctr = Command::new("ctr");
    ctr.args(["run", "--detach", "--rootfs", "--runtime", &runtime, "--log-uri", &log])
        .args(["--cgroup", &format!("{}/{id}", machine.cgroup)])
        .arg(machine.path("rootfs"))
        .args([id, "/bin/sleep", "100000"]);
    ctr
}

/// Ends and removes it.
pub(crate) fn remove(id: &str) {
    ok(Command::new("ctr").args(["task", "delete", "--force", id]));
    ok(Command::new("ctr").args(["container", "delete", id]));
}

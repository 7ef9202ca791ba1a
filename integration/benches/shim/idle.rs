//! Many containers that do nothing: what their supervisors weigh, and how often they wake up.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tare_integration::wait::until_true;

use crate::bundle;
use crate::calls;
use crate::containerd::Containerd;
use crate::daemon::Daemon;
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;
use crate::shim::programs;
use crate::weight::{Weight, processes, wakes, weigh};

/// What follows the last container's start is over after such a time.
const REST: Duration = Duration::from_secs(3);

/// One way to keep a container, and what was measured of it.
struct Kept {
    name: &'static str,
    supervisor: Weight,
    wakes: f64,
    /// KiB of the daemons above, all together.
    daemons: f64,
}

/// Measures them one after the other, so that none shares a page with another's.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let count = settings.containers();
    let mut all = Vec::new();
    for (name, program) in programs(machine) {
        all.push(under_containerd(machine, count, name, &program));
    }
    all.push(under_conmon(machine, count));
    let (ours, theirs) = ("tared", "dockerd");
    all.insert(1, under_daemon(machine, count, ours, &machine.program(ours), &["tared"]));
    let above = ["dockerd", "containerd"];
    all.push(under_daemon(machine, count, theirs, Path::new(theirs), &above));

    let part = |of: fn(&Weight) -> f64| {
        all.iter().map(|kept| (kept.name, vec![of(&kept.supervisor)])).collect::<Vec<_>>()
    };
    let supervisor = format!("a supervisor, of {count} idle containers");
    let kib = "KiB";
    report.add(format!("PSS of {supervisor}"), kib, Better::Less, part(|one| one.pss));
    report.add(format!("RSS of {supervisor}"), kib, Better::Less, part(|one| one.rss));
    report.add(
        format!("anonymous memory of {supervisor}"),
        kib,
        Better::Less,
        part(|one| one.anonymous),
    );
    report.add(format!("page tables of {supervisor}"), kib, Better::Less, part(|one| one.tables));
    report.add(
        format!("threads of {supervisor}"),
        "threads",
        Better::Less,
        part(|one| one.threads),
    );
    let descriptors = part(|one| one.descriptors);
    report.add(format!("open descriptors of {supervisor}"), "files", Better::Less, descriptors);
    let wakes: Vec<_> = all.iter().map(|kept| (kept.name, vec![kept.wakes])).collect();
    report.add(format!("wake-ups of {supervisor}"), "per second", Better::Less, wakes);
    let daemons = all.iter().filter(|kept| kept.daemons > 0.0);
    let daemons: Vec<_> = daemons.map(|kept| (kept.name, vec![kept.daemons])).collect();
    report.add(format!("PSS of the daemons above {count} containers"), kib, Better::Less, daemons);
}

fn under_containerd(machine: &Machine, count: usize, name: &'static str, program: &Path) -> Kept {
    let _containerd = Containerd::start(machine);
    let ids: Vec<_> = (0..count).map(|number| format!("idle-{name}-{number}")).collect();
    ids.iter().for_each(|id| drop(ok(&mut calls::run(machine, program, id))));
    let name = if name == "tare" { "tare, under containerd" } else { "runc-v2, under containerd" };
    let program = program.file_name().expect("it has a name").to_string_lossy();
    let kept = look(name, count, &program, &["containerd"]);
    ids.iter().for_each(|id| calls::remove(id));
    kept
}

/// With our runtime, and a log of its own as the shims have it.
fn under_conmon(machine: &Machine, count: usize) -> Kept {
    let runtime = machine.program("tare");
    let root = machine.directory("conmon-root");
    let call = |words: &[&str]| ok(Command::new(&runtime).arg("--root").arg(&root).args(words));
    let ids: Vec<_> = (0..count).map(|number| format!("idle-conmon-{number}")).collect();
    for id in &ids {
        let bundle = bundle::make(machine, id);
        let path = |name: &str| bundle.join(name).display().to_string();
        let mut conmon = Command::new("conmon");
        conmon
            .args(["--api-version", "1", "--cid", id, "--cuuid", id, "--name", id])
            .args(["--runtime", &runtime.display().to_string()])
            .args([format!("--runtime-arg=--root={}", root.display())])
            .args(["--bundle", &bundle.display().to_string(), "--full-attach"])
            .args(["--container-pidfile", &path("pid"), "--exit-dir", &path("")])
            .args(["--log-path", &format!("k8s-file:{}", path("log"))])
            .stdin(Stdio::null());
        ok(&mut conmon);
        // It makes the container after it has returned.
        until_true("conmon's container", || bundle.join("pid").exists());
        call(&["start", id]);
    }
    let kept = look("conmon", count, "conmon", &[]);
    for id in &ids {
        call(&["delete", "--force", id]);
    }
    until_true("the end of conmon", || processes("conmon").is_empty());
    kept
}

fn under_daemon(
    machine: &Machine,
    count: usize,
    name: &'static str,
    program: &Path,
    above: &[&str],
) -> Kept {
    let tared = name == "tared";
    let arguments: &[&str] = if tared { &[] } else { &Daemon::NO_NETWORK };
    let daemon = Daemon::start(machine, name, program, arguments);
    let ids: Vec<_> = (0..count).map(|_| daemon.run("--detach", &["sleep", "100000"])).collect();
    let (name, shim) = match tared {
        true => ("tare, under tared", "containerd-shim-tare-v2"),
        false => ("runc-v2, under dockerd", "containerd-shim-runc-v2"),
    };
    let kept = look(name, count, shim, above);
    ok(daemon.docker("rm --force").args(&ids));
    kept
}

/// Weighs the supervisors, all of which must be there.
fn look(name: &'static str, count: usize, program: &str, above: &[&str]) -> Kept {
    let supervisors = processes(program);
    std::thread::sleep(REST);
    let wakes = wakes(&supervisors);
    let supervisor = weigh(&supervisors);
    assert_eq!(supervisor.processes, count, "each container has a supervisor: {name}");
    let daemons = above.iter().map(|program| {
        let daemon = weigh(&processes(program));
        daemon.pss * daemon.processes as f64
    });
    Kept { name, supervisor, wakes, daemons: daemons.sum() }
}

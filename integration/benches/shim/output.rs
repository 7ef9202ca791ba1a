//! A container's output on its way to a log, and the log read back.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Stdio;

use crate::daemon::Daemon;
use crate::machine::{Machine, ok};
use crate::report::{Better, Report};
use crate::settings::Settings;

/// How often each is measured: it takes seconds.
const ROUNDS: usize = 3;

/// What a container writes.
const OUTPUTS: [(&str, usize); 2] = [("short lines", 60), ("one long line", usize::MAX)];
/// The drivers that keep it here, without a limit that would take the first lines away.
const DRIVERS: [(&str, &str); 2] = [("json-file", ""), ("local", "--log-opt max-size=100g")];

/// Measures both daemons with each driver.
pub(crate) fn measure(machine: &Machine, settings: &Settings, report: &mut Report) {
    let size = settings.megabytes * 1_000_000;
    let daemons = Daemon::both(machine);
    let directory = machine.directory("output");
    for (what, length) in OUTPUTS {
        write_file(&directory.join("data"), size, length);
        let volume = format!("--volume {}:/data:ro", directory.display());
        for (driver, options) in DRIVERS {
            let mut wall = daemons.each_ref().map(|(name, _)| (*name, Vec::new()));
            let (mut cpu, mut read) = (wall.clone(), wall.clone());
            for _ in 0..ROUNDS {
                for (at, (_, daemon)) in daemons.iter().enumerate() {
                    let flags = format!("--detach --log-driver {driver} {options} {volume}");
                    let ((id, _), written) = machine.account.cost(|| {
                        let id = daemon.run(&flags, &["cat", "/data/data"]);
                        let status = ok(daemon.docker("wait").arg(&id));
                        (id, status)
                    });
                    let rate = |millis: f64| settings.megabytes as f64 / (millis / 1000.0);
                    wall[at].1.push(rate(written.wall));
                    cpu[at].1.push(rate(written.cpu));
                    let (count, reading) = machine.account.cost(|| {
                        let file = File::create(machine.path("logs")).expect("make a file");
                        let mut logs = daemon.docker("logs");
                        logs.arg(&id).stdout(file).stderr(Stdio::null());
                        let status = logs.status().expect("run docker");
                        assert!(status.success(), "docker logs: {status}");
                        std::fs::metadata(machine.path("logs")).map_or(0, |file| file.len())
                    });
                    assert_eq!(count, size as u64, "docker logs shows every byte");
                    read[at].1.push(rate(reading.wall));
                    ok(daemon.docker("rm").arg(&id));
                }
            }
            let what = format!("{what} to {driver}");
            report.add(what.clone(), "MB/s", Better::More, wall);
            let unit = "MB per second of processor time";
            report.add(what.clone(), unit, Better::More, cpu);
            report.add(format!("docker logs of {what}"), "MB/s", Better::More, read);
        }
    }
}

/// Writes `size` bytes of lines of this length, of which the last one ends nowhere in particular.
fn write_file(path: &std::path::Path, size: usize, length: usize) {
    let mut file = BufWriter::new(File::create(path).expect("make a file"));
    let mut line = vec![b'x'; length.min(1_000_000)];
    if length < usize::MAX {
        line.push(b'\n');
    }
    let mut left = size;
    while left > 0 {
        let part = &line[..left.min(line.len())];
        file.write_all(part).expect("write a file");
        left -= part.len();
    }
    file.flush().expect("write a file");
}

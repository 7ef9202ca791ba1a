//! The records themselves are damaged.

use std::path::PathBuf;

use rustix::process::Signal;
use tare_integration::{Host, on_host};

fn file(host: &Host, name: &str) -> PathBuf {
    host.outside(&host.places().data_root.join(name))
}

/// All that there is, as a user sees it.
fn seen(host: &Host) -> Vec<String> {
    ["images --no-trunc", "ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}}'", "volume ls"]
        .iter()
        .map(|command| {
            // Docker's command line shows the names of an image in any order.
            let mut lines =
                host.docker(command).lines().into_iter().map(str::to_owned).collect::<Vec<_>>();
            lines.sort();
            lines.join("\n")
        })
        .collect()
}

#[test]
fn damaged_or_lost_records_come_back_with_all_they_had() {
    on_host(|host| {
        host.docker("tag busybox other:1").ok();
        host.docker("create --name c1 -v kept:/kept busybox sh -c 'cat /kept/file'").ok();
        host.docker("run --rm -v kept:/kept busybox sh -c 'echo kept > /kept/file'").ok();
        let before = seen(host);
        let records = file(host, "state.redb");
        let page = |number: usize| {
            let records = records.clone();
            move || {
                let mut content = std::fs::read(&records).unwrap();
                // What is in use is near the beginning.
                let place = (number * 4096 + 100) % content.len();
                content[place..place + 64].fill(0xa5);
                std::fs::write(&records, content).unwrap();
            }
        };
        let cut = || {
            let file = std::fs::File::options().write(true).open(&records).unwrap();
            file.set_len(5000).unwrap();
        };
        let lose = || std::fs::remove_file(&records).unwrap();
        let empty = || std::fs::write(&records, b"").unwrap();
        let mut damages: Vec<Box<dyn Fn()>> = vec![Box::new(cut), Box::new(lose), Box::new(empty)];
        damages.extend((0..5).map(|number| Box::new(page(number)) as Box<dyn Fn()>));
        for (number, damage) in damages.iter().enumerate() {
            host.end_daemon(if number % 2 == 0 { Signal::KILL } else { Signal::TERM });
            damage();
            host.start_daemon();
            assert_eq!(seen(host), before, "damage {number}");
            host.docker("start -a c1").code(0).stdout("kept\n");
        }
        assert!(host.daemon_log().contains("they are taken from their copy"));
        assert!(file(host, "state.damaged").exists());
        std::fs::remove_file(file(host, "state.damaged")).unwrap();
    });
}

#[test]
fn what_cannot_be_made_anew_is_said_and_nothing_is_swept() {
    on_host(|host| {
        host.docker("volume create kept").ok();
        host.end_daemon(Signal::TERM);
        let (records, copy) = (file(host, "state.redb"), file(host, "state.copy"));
        let aside = [std::fs::read(&records).unwrap(), std::fs::read(&copy).unwrap()];
        let damages: [fn(&mut Vec<u8>); 2] = [|content| content.fill(0), Vec::clear];
        for damage in damages {
            for (file, content) in [(&records, &aside[0]), (&copy, &aside[1])] {
                let mut content = content.clone();
                damage(&mut content);
                std::fs::write(file, content).unwrap();
            }
            let said = host.daemon_refuses();
            assert!(said.contains("state.redb") && said.contains("backup"), "{said}");
            assert!(!said.contains("panicked"), "{said}");
        }
        std::fs::write(&records, &aside[0]).unwrap();
        host.start_daemon();
        host.docker("volume ls -q").code(0).stdout("kept\n");
        host.docker("run --rm busybox echo works").stdout("works\n");
    });
}

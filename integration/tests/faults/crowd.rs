//! Many at once, on the same images.
//!
//! It takes some seconds; for longer, name them: `TARE_TEST_CROWD_SECONDS=60`.

use std::time::{Duration, Instant};

use tare_integration::archive::digest;
use tare_integration::registry::{Access, Registry};
use tare_integration::{Host, on_host_with};

use crate::content::{archive, publish};
use tare_integration::archive::noise;

const CLIENTS: u64 = 8;
const SECONDS: u64 = 8;
/// What may be said to who comes second.
const CONFLICTS: [&str; 12] = [
    "No such image",
    "No such container",
    "no such image",
    "does not exist",
    "conflict:",
    "is being used",
    "prune operation is already running",
    "has been removed",
    "is gone",
    "is missing",
    "reference does not exist",
    "already in use",
];

/// What one client does, again and again, chosen by chance.
fn work(host: &Host, client: u64, pulled: &[String], loaded: &[Vec<u8>], until: Instant) -> usize {
    let mut chance = noise(client + 100, 1 << 16).into_iter().cycle();
    let mut count = 0;
    let spool = host.scratch(&format!("client{client}"));
    while Instant::now() < until {
        let mut choose = |most: usize| usize::from(chance.next().expect("endless")) % most;
        let image = &pulled[choose(pulled.len())];
        let own = format!("own{client}-{}", choose(3));
        let said = match choose(12) {
            0..3 => host.docker(&format!("pull -q {image}")),
            3 => host.docker(&format!("run --rm {image} sh -c 'cat /own-* > /dev/null'")),
            4 => {
                let name = format!("c{client}");
                let made = host.docker(&format!("create --name {name} {image}"));
                if made.code == 0 {
                    host.docker(&format!("commit {name} {own}"));
                    host.docker(&format!("rm -f {name}")).ok();
                }
                made
            }
            5 => host.docker(&format!("rmi {image}")),
            6 => host.docker(&format!("rmi -f {own}")),
            7 => host.docker("image prune -f"),
            8 => host.docker_with_input("load", &loaded[choose(loaded.len())]),
            9 => host.docker(&format!("tag {image} {own}")),
            10 => host.docker(&format!("save -o {}/image.tar {image}", spool.display())),
            _ => host.docker("rmi -f loaded1 loaded2"),
        };
        let known = CONFLICTS.iter().any(|conflict| said.stderr.contains(conflict));
        assert!(said.code == 0 || known, "client {client}: {}", said.stderr);
        count += 1;
    }
    count
}

#[test]
fn whatever_many_do_at_once_what_is_listed_is_whole() {
    let seconds = std::env::var("TARE_TEST_CROWD_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    on_host_with(&[], |host| {
        let registry = Registry::start(host, Access::Open);
        let pulled: Vec<String> = (0..4)
            .map(|n| {
                publish(host, &registry, &format!("x{n}:1"), &[(n % 2, 400_000), (10 + n, 90_000)])
            })
            .collect();
        // The same layers by another way.
        let loaded = vec![
            archive("loaded1", &[(0, 400_000), (20, 50_000)]),
            archive("loaded2", &[(1, 400_000), (11, 90_000)]),
        ];
        let until = Instant::now() + Duration::from_secs(seconds);
        let done: usize = std::thread::scope(|scope| {
            let (pulled, loaded) = (&pulled, &loaded);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| scope.spawn(move || work(host, client, pulled, loaded, until)))
                .collect();
            clients.into_iter().map(|client| client.join().expect("a client")).sum()
        });
        eprintln!("{done} commands");
        assert!(done > 20, "{done}");
        every_image_is_whole(host);
        for name in &pulled {
            host.docker(&format!("pull -q {name}")).ok();
        }
        every_image_is_whole(host);
        host.remove_everything();
        host.docker("image prune -f").ok();
        let df = host.get("/system/df").json();
        assert_eq!(df["LayersSize"], 0, "{df}");
        drop(registry);
    });
}

/// Each runs and is saved, which looks at every byte; and each blob is what its name says.
fn every_image_is_whole(host: &Host) {
    let images = host.docker("images -q --no-trunc").ok().to_owned();
    let target = host.scratch("saved").join("image.tar").display().to_string();
    for id in images.lines() {
        host.docker(&format!("run --rm {id} sh -c 'cat /own-* > /dev/null'")).ok();
        host.docker(&format!("save -o {target} {id}")).ok();
    }
    let blobs = host.outside(&host.places().data_root.join("blobs/sha256"));
    for blob in std::fs::read_dir(blobs).expect("list the blobs").flatten() {
        let content = std::fs::read(blob.path()).expect("read a blob");
        let name = blob.file_name().into_string().expect("a digest");
        assert_eq!(digest(&content), format!("sha256:{name}"));
    }
}

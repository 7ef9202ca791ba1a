//! Blobs and layers are damaged behind the daemon's back.

use std::path::Path;

use rustix::process::Signal;
use tare_integration::registry::{Access, Registry};
use tare_integration::{Host, on_host_with};

use crate::content::{blob_path, layer_blobs, publish};

type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 6] = [
    ("is empty", |blob| std::fs::write(blob, b"").unwrap()),
    ("is cut off", |blob| {
        let content = std::fs::read(blob).unwrap();
        std::fs::write(blob, &content[..content.len() / 2]).unwrap();
    }),
    ("is full of zeros", |blob| {
        let length = usize::try_from(blob.metadata().unwrap().len()).unwrap();
        std::fs::write(blob, vec![0; length]).unwrap();
    }),
    ("has one bit flipped", flip),
    ("is gone", |blob| std::fs::remove_file(blob).unwrap()),
    ("cannot be read", |blob| {
        std::fs::remove_file(blob).unwrap();
        // Who reads this from its beginning is told of an input/output error.
        std::os::unix::fs::symlink("/proc/self/mem", blob).unwrap();
    }),
];

fn flip(file: &Path) {
    let mut content = std::fs::read(file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(file, content).unwrap();
}

/// The image is whole: it runs, and is given out.
#[track_caller]
fn is_whole(host: &Host, name: &str) {
    host.docker(&format!("run --rm {name} sh -c 'cat /own-* | wc -c'")).stdout("400000\n");
    is_given_out(host, name);
}

/// It can be saved, which looks at every byte.
#[track_caller]
fn is_given_out(host: &Host, name: &str) {
    let target = host.scratch("saved").join("image.tar");
    host.docker(&format!("save -o {} {name}", target.display())).ok();
}

#[test]
fn a_damaged_blob_is_found_and_pulled_again() {
    on_host_with(&[], |host| {
        let registry = Registry::start(host, Access::Open);
        let name = publish(host, &registry, "x:1", &[(1, 300_000), (2, 100_000)]);
        host.docker(&format!("pull {name}")).ok();
        let before = host.footprint();
        for (number, (what, damage)) in DAMAGES.iter().enumerate() {
            let layers = layer_blobs(host, &name);
            damage(&blob_path(host, &layers[number % layers.len()]));
            // Nothing wrong is given out.
            let target = host.scratch("saved").join("damaged.tar");
            let saved = host.docker(&format!("save -o {} {name}", target.display()));
            assert_ne!(saved.code, 0, "a blob that {what} was saved");
            // Nor does anyone else get it: a registry that has the layer already need not be sent it.
            let elsewhere = registry.image(&format!("other{number}:1"));
            host.docker(&format!("tag {name} {elsewhere}")).ok();
            let pushed = host.docker(&format!("push {elsewhere}"));
            assert!(pushed.code == 0 || pushed.stderr.contains("pull or load"), "{what}");
            host.docker(&format!("rmi {elsewhere}")).ok();
            host.docker(&format!("pull {name}")).ok();
            is_given_out(host, &name);
            host.leaves_nothing_since(&before);
        }
        is_whole(host, &name);
    });
}

#[test]
fn what_was_damaged_while_the_daemon_was_away_is_pulled_again() {
    on_host_with(&[], |host| {
        let registry = Registry::start(host, Access::Open);
        let name = publish(host, &registry, "x:1", &[(1, 300_000), (2, 100_000)]);
        host.docker(&format!("pull {name}")).ok();
        for (number, (_, damage)) in DAMAGES.iter().enumerate() {
            let layers = layer_blobs(host, &name);
            host.end_daemon(if number % 2 == 0 { Signal::KILL } else { Signal::TERM });
            damage(&blob_path(host, &layers[number % layers.len()]));
            host.start_daemon();
            // What can't be known without reading all of it is found by whoever reads it.
            let listed = host.docker(&format!("images -q {name}")).ok().to_owned();
            if !listed.is_empty() {
                let target = host.scratch("saved").join("damaged.tar");
                host.docker(&format!("save -o {} {name}", target.display())).code(1);
            }
            host.docker(&format!("pull {name}")).ok();
            is_given_out(host, &name);
        }
        is_whole(host, &name);
    });
}

#[test]
fn a_damaged_layer_is_unpacked_anew() {
    on_host_with(&[], |host| {
        let registry = Registry::start(host, Access::Open);
        let name = publish(host, &registry, "x:1", &[(1, 300_000), (2, 100_000)]);
        host.docker(&format!("pull {name}")).ok();
        let top =
            || host.outside(Path::new(&host.inspect(&name, "{{.GraphDriver.Data.UpperDir}}")));
        // A bit: the image is removed and pulled.
        flip(&top().join("own-2"));
        host.docker(&format!("rmi {name}")).ok();
        host.docker(&format!("pull {name}")).ok();
        is_whole(host, &name);
        let written = host.docker(&format!("run --rm {name} sha256sum /own-2")).ok().to_owned();
        let expected =
            tare_integration::archive::digest(&tare_integration::archive::noise(2, 100_000));
        assert!(expected.ends_with(written.split_whitespace().next().unwrap()), "{written}");
        // All of it, while the daemon is away: the next start knows, and a pull is all it takes.
        let layer = top();
        host.end_daemon(Signal::KILL);
        std::fs::remove_dir_all(layer.parent().unwrap()).unwrap();
        host.start_daemon();
        host.docker(&format!("images -q {name}")).stdout("");
        host.docker(&format!("pull {name}")).ok();
        is_whole(host, &name);
    });
}

//! What every driver has to make of layers: the same as GNU tar, as a container sees it through its
//! mount and as this manager packs it.

use super::testing::{Stage, extract, tar_extracts, told, with_each_driver};
use super::*;
use crate::container::rootfs::Rootfs;
use crate::image::archive::testing::{Member, tar_of};
use crate::snapshot::pack::{Packer, Tree};

with_each_driver! {
    whiteouts_and_opaque_directories
    hard_links
    owners_modes_and_times
    attributes_and_capabilities
    special_files_and_links
    names_of_any_kind
    one_thing_in_place_of_another
    sparse_files
    a_file_keeps_its_number
    an_image_without_layers
    a_container_is_its_own
    five_hundred_layers_and_more
}

/// Compares what becomes of the layers with what tar extracts of them.
async fn check(driver: DriverName, layers: &[Vec<u8>]) {
    let stage = Stage::new(driver);
    stage.container(layers, "box").await;
    let at = |name: &str| stage.root.path().join(name);
    tar_extracts(layers, &at("tar"));
    let expected = told(&at("tar"));
    {
        let mounted = stage.mounted("box");
        assert_eq!(told(&mounted.0), expected, "as a container sees it");
    }
    let mounts = stage.images.snapshots().mounts("box").unwrap();
    let rootfs = Rootfs::mount(&mounts).unwrap();
    let mut packer = Packer::new(Vec::new(), Tree::Merged);
    packer.pack(rootfs.handle().unwrap(), Some(b"./"), None).unwrap();
    std::fs::create_dir(at("exported")).unwrap();
    extract(&packer.finish().unwrap(), &at("exported"));
    assert_eq!(told(&at("exported")), expected, "as it is exported");
}

fn root() -> Member {
    Member::directory("./").mode(0o755).mtime("1000000000")
}

async fn whiteouts_and_opaque_directories(driver: DriverName) {
    let directory = |name: &str| Member::directory(name).mtime("1000000001");
    let long = "n".repeat(251);
    let layers = [
        tar_of(&[
            root(),
            directory("etc").mode(0o750).owner(1, 2),
            Member::file("etc/kept", b"1"),
            Member::file("etc/gone", b"1"),
            directory("opaque"),
            Member::file("opaque/hidden", b"1"),
            directory("opaque/deep"),
            Member::file("opaque/deep/hidden", b"1"),
            directory("again"),
            Member::file("again/hidden", b"1"),
            directory("tree"),
            directory("tree/in"),
            Member::file("tree/in/it", b"1"),
            Member::symlink("lib", "etc"),
            Member::file(&long, b"1"),
        ]),
        tar_of(&[
            Member::file("etc/.wh.gone", b""),
            Member::file("etc/.wh.never", b""),
            Member::file("opaque/.wh..wh..opq", b""),
            directory("opaque"),
            Member::file("opaque/new", b"2"),
            Member::file(".wh.again", b""),
            Member::file(".wh.tree", b""),
            Member::file(".wh.lib", b""),
            Member::file(format!(".wh.{long}"), b""),
        ]),
        tar_of(&[
            root(),
            directory("again"),
            Member::file("again/new", b"3"),
            directory("opaque/deep"),
            directory("opaque"),
            Member::file("tree", b"3"),
            Member::file("etc/gone", b"3"),
            directory("etc").mode(0o700),
        ]),
    ];
    check(driver, &layers).await;
}

async fn hard_links(driver: DriverName) {
    let layers = [
        tar_of(&[
            root(),
            Member::file("one", b"content").mode(0o4755).owner(7, 8).mtime("1000000000.5"),
            Member::hard_link("two", "one"),
            Member::file("below", b"lower").mode(0o600).mtime("1000000000.25"),
            Member::file("broken", b"lower").mtime("1000000000.25"),
            Member::hard_link("broken-too", "broken"),
            Member::symlink("soft", "nowhere"),
            Member::hard_link("soft-too", "soft"),
            Member::fifo("pipe").mode(0o640),
            Member::hard_link("pipe-too", "pipe"),
        ]),
        tar_of(&[
            root(),
            // To a file of the layer below, and to one whose name is taken away then.
            Member::hard_link("above", "below"),
            Member::hard_link("deep/above", "above"),
            Member::hard_link("survivor", "broken"),
            Member::file(".wh.broken", b""),
            Member::file(".wh.broken-too", b""),
        ]),
    ];
    // Tar takes nothing away before it links.
    let stage = Stage::new(driver);
    stage.container(&layers, "box").await;
    let mounted = stage.mounted("box");
    let seen = told(&mounted.0);
    let links = |name: &str| seen[name].split(" linked with ").nth(1).map(str::to_owned);
    assert_eq!((links("one"), links("two")), (Some("one".into()), Some("one".into())));
    assert_eq!(links("soft-too"), None, "{seen:?}");
    for name in ["above", "below", "deep/above"] {
        assert_eq!(links(name).as_deref(), Some("above"), "{seen:?}");
        assert_eq!(std::fs::read(mounted.0.join(name)).unwrap(), b"lower");
    }
    assert!(seen["two"].starts_with("104755 7:8 at 1000000000.500000000"), "{seen:?}");
    assert!(seen["below"].starts_with("100600 0:0 at 1000000000.250000000"), "{seen:?}");
    assert_eq!(std::fs::read(mounted.0.join("survivor")).unwrap(), b"lower");
    assert!(!seen.contains_key("broken") && !seen.contains_key("broken-too"));
    drop(mounted);
    check(driver, &layers[..1]).await;
}

async fn owners_modes_and_times(driver: DriverName) {
    let most = u64::from(u32::MAX) - 1;
    let layers = [
        tar_of(&[
            root(),
            Member::file("last", b"1").owner(most, most).mtime("1000000000.999999999"),
            Member::file("setuid", b"1").mode(0o6755).owner(1000, most),
            Member::file("none", b"1").mode(0),
            Member::directory("sticky").mode(0o1777).mtime("1"),
            Member::directory("setgid").mode(0o2770).owner(0, 50).mtime("2.000000001"),
            Member::file("setgid/in", b"").owner(3, 4),
            Member::file("old", b"").mtime("-1.5"),
            Member::symlink("link", "target").owner(5, 6).mtime("1000000000.000000007"),
        ]),
        tar_of(&[Member::directory("sticky").mode(0o700).owner(9, 9).mtime("3.5")]),
    ];
    check(driver, &layers).await;
}

async fn attributes_and_capabilities(driver: DriverName) {
    // cap_net_raw, permitted and effective, in the form of revision 2.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layers = [
        tar_of(&[
            root(),
            Member::file("ping", b"1")
                .mode(0o755)
                .owner(11, 12)
                .attribute("security.capability", &capability),
            Member::file("noted", b"1").attribute("user.note", b"a\0b\nc"),
            Member::directory("directory").mtime("5").attribute("user.note", b"directory"),
        ]),
        tar_of(&[Member::file("noted", b"2").attribute("user.other", b"")]),
    ];
    check(driver, &layers).await;
}

async fn special_files_and_links(driver: DriverName) {
    let layers = [
        tar_of(&[
            root(),
            Member::device("null", 1, 3).mode(0o666).owner(1, 2),
            Member::device("far", 4095, 255).mode(0o600).mtime("1000000000.5"),
            Member::fifo("pipe").mode(0o620).owner(0, 5),
            Member::symlink("absolute", "/etc/passwd"),
            Member::symlink("out", "../../../../etc"),
            Member::symlink("long", "t".repeat(4095)),
        ]),
        tar_of(&[Member::fifo("far"), Member::device("pipe", 5, 1)]),
    ];
    check(driver, &layers).await;
}

async fn names_of_any_kind(driver: DriverName) {
    let deep = vec!["d".repeat(254); 14].join("/");
    let layers = [
        tar_of(&[
            root(),
            Member::file("l".repeat(255), b"255"),
            Member::file(b"not \xff\xfe utf-8", b"1"),
            Member::file("new\nline", b"1"),
            Member::file(" ", b"1"),
            Member::file("back\\slash", b"1"),
            Member::file("a:b,c=d", b"1"),
            Member::file("-rf", b"1"),
            Member::file(format!("{deep}/{}", "f".repeat(255)), b"deep"),
        ]),
        tar_of(&[Member::file("l".repeat(255), b"again"), Member::file(&deep, b"file")]),
    ];
    check(driver, &layers).await;
}

async fn one_thing_in_place_of_another(driver: DriverName) {
    let things = |prefix: &str, name: &str| match prefix {
        "directory" => vec![
            Member::directory(name).mtime("5"),
            Member::file(format!("{name}/in"), b"it").mtime("6"),
            Member::directory(name).mtime("5"),
        ],
        "link" => vec![Member::symlink(name, "elsewhere").mtime("7")],
        "pipe" => vec![Member::fifo(name).mtime("8")],
        _ => vec![Member::file(name, prefix.as_bytes()).mtime("9")],
    };
    let kinds = ["directory", "link", "pipe", "file"];
    let (mut before, mut after) = (vec![root(), Member::directory("elsewhere").mtime("4")], vec![]);
    for one in kinds {
        for other in kinds {
            let name = format!("{one}-{other}");
            before.extend(things(one, &name));
            after.extend(things(other, &name));
        }
    }
    after.push(root());
    check(driver, &[tar_of(&before), tar_of(&after)]).await;
}

async fn sparse_files(driver: DriverName) {
    use std::os::unix::fs::FileExt;
    let directory = tempfile::tempdir().unwrap();
    for (name, size) in [("ends-in-a-hole", 64 << 20), ("ends-in-data", (32 << 20) + 3)] {
        let file = std::fs::File::create(directory.path().join(name)).unwrap();
        file.write_all_at(b"ab", 0).unwrap();
        file.write_all_at(b"cde", 32 << 20).unwrap();
        file.set_len(size).unwrap();
    }
    std::fs::File::create(directory.path().join("hole")).unwrap().set_len(8 << 20).unwrap();
    for form in ["gnu", "pax"] {
        let tar = std::process::Command::new("tar")
            .args(["--create", "--sparse", "--format", form, "--directory"])
            .arg(directory.path())
            .args(["ends-in-a-hole", "ends-in-data", "hole"])
            .output()
            .unwrap();
        check(driver, &[tar_of(&[root()]), tar.stdout]).await;
    }
}

async fn a_file_keeps_its_number(driver: DriverName) {
    use std::os::unix::fs::MetadataExt;
    let stage = Stage::new(driver);
    let layer = |name: &str| tar_of(&[root(), Member::file(name, b"content")]);
    stage.container(&[layer("one"), layer("two")], "box").await;
    let tell = |name: &str| {
        let mounted = stage.mounted("box");
        let numbers = || {
            let stat = mounted.0.join(name).symlink_metadata().unwrap();
            let root = mounted.0.symlink_metadata().unwrap();
            assert_eq!(stat.dev(), root.dev(), "the file seems to be on another file system");
            stat.ino()
        };
        let before = numbers();
        let file = std::fs::File::options().append(true).open(mounted.0.join(name)).unwrap();
        std::io::Write::write_all(&mut &file, b"more").unwrap();
        assert_eq!(numbers(), before);
        before
    };
    let first = (tell("one"), tell("two"));
    assert_ne!(first.0, first.1);
    assert_eq!((tell("one"), tell("two")), first, "after another mount");
}

async fn an_image_without_layers(driver: DriverName) {
    let stage = Stage::new(driver);
    stage.container(&[], "box").await;
    let mounted = stage.mounted("box");
    assert!(mounted.names("").is_empty());
    std::fs::write(mounted.0.join("file"), "x").unwrap();
}

/// Containers of one image don't see each other, nor does the image change.
async fn a_container_is_its_own(driver: DriverName) {
    let stage = Stage::new(driver);
    let layer = tar_of(&[root(), Member::file("file", b"image"), Member::file("gone", b"image")]);
    let image = stage.container(&[layer], "one").await;
    let snapshots = stage.images.snapshots();
    {
        let mounted = stage.mounted("one");
        std::fs::write(mounted.0.join("file"), "changed").unwrap();
        std::fs::remove_file(mounted.0.join("gone")).unwrap();
        std::fs::write(mounted.0.join("new"), [0; 1000]).unwrap();
    }
    assert_eq!(snapshots.usage("one").await.unwrap().bytes, 1007);
    snapshots.prepare("two", &image, None).await.unwrap();
    assert_eq!(
        snapshots.prepare("two", &image, None).await.unwrap_err().kind(),
        crate::Kind::Conflict
    );
    assert_eq!(snapshots.usage("two").await.unwrap().bytes, 0);
    {
        let mounted = stage.mounted("two");
        assert_eq!(mounted.names(""), ["file", "gone"]);
        assert_eq!(std::fs::read(mounted.0.join("file")).unwrap(), b"image");
    }
    snapshots.remove("one").await.unwrap();
    snapshots.remove("one").await.unwrap();
    snapshots.remove("two").await.unwrap();
    assert_eq!(snapshots.mounts("one").unwrap_err().kind(), crate::Kind::NotFound);
    let left = std::fs::read_dir(stage.root.path().join("snapshots")).unwrap().count();
    assert_eq!(left, 1, "the image's layer alone");
}

/// As many as the kernel stacks, and more than that.
async fn five_hundred_layers_and_more(driver: DriverName) {
    for count in [500, 520] {
        let layers: Vec<Vec<u8>> = (0..count)
            .map(|number| {
                let (name, text) = (format!("d/{number:03}"), number.to_string());
                let mut members =
                    vec![Member::file(name, b""), Member::file("top", text.as_bytes())];
                if number == 10 {
                    members.push(Member::file("d/.wh.003", b""));
                    members.push(Member::hard_link("linked", "d/005"));
                }
                tar_of(&members)
            })
            .collect();
        let stage = Stage::new(driver);
        stage.container(&layers, "box").await;
        let mounted = stage.mounted("box");
        assert_eq!(mounted.names("d").len(), count - 1);
        assert_eq!(
            std::fs::read(mounted.0.join("top")).unwrap(),
            (count - 1).to_string().as_bytes()
        );
        std::fs::write(mounted.0.join("d/000"), "mine").unwrap();
        std::fs::remove_file(mounted.0.join("d/001")).unwrap();
        drop(mounted);
        let usage = stage.images.snapshots().usage("box").await.unwrap();
        assert_eq!(usage.bytes, 4);
        stage.images.snapshots().remove("box").await.unwrap();
        let first = stage.root.path().join("snapshots/1");
        assert!(
            !first.join("fs/d/000").exists()
                || std::fs::read(first.join("fs/d/000")).unwrap() == b""
        );
    }
}

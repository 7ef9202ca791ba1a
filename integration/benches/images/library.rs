//! The images, made once and kept: as archives, and in a registry.

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::contender::{Contender, Kind};
use crate::machine::{Machine, ok};
use crate::registry::{self, ADDRESS, PROGRAM, Registry};
use crate::sets::{self, PULLED, SHARED};
use crate::settings::Settings;

/// Where the library is seen in the scratch directory.
const PLACE: &str = "library";
/// Says that it is whole. Another number when the images become other ones.
const WHOLE: &str = "whole-1";

/// Shows, in the scratch directory, what the machine has outside the peers' tree; makes the images
/// of this machine's files if they are not there.
pub(crate) fn show(settings: &Settings, scratch: &Path) {
    let library = settings.library();
    std::fs::create_dir_all(&library).expect("make the library's directory");
    if !library.join(WHOLE).exists() && !library.join("archives").exists() {
        eprintln!("making images in {}; this takes some minutes, once", library.display());
        let unfinished = library.join("unfinished");
        std::fs::create_dir_all(&unfinished).expect("make a directory");
        sets::write(&unfinished);
        std::fs::rename(&unfinished, library.join("archives")).expect("rename a directory");
    }
    let place = scratch.join(PLACE);
    std::fs::create_dir_all(&place).expect("make a directory");
    const NONE: Option<&str> = None;
    mount(Some(&library), &place, NONE, MsFlags::MS_BIND, NONE).expect("bind the library");
    let registry = Path::new("/usr/bin").join(PROGRAM);
    std::fs::copy(registry, scratch.join("programs").join(PROGRAM))
        .expect("copy docker-registry (Debian: docker-registry)");
}

/// The library, with its registry serving.
pub(crate) struct Library<'a> {
    pub(crate) machine: &'a Machine,
    place: PathBuf,
    _registry: Registry,
}

impl Library<'_> {
    /// Serves it; fills the registry if that is not done.
    pub(crate) fn open<'a>(machine: &'a Machine, settings: &Settings) -> Library<'a> {
        let place = machine.path(PLACE);
        let data = place.join("registry");
        let whole = place.join(WHOLE);
        if !whole.exists() {
            let _ = std::fs::remove_dir_all(&data);
        }
        let library = Library { machine, _registry: Registry::start(machine, &data), place };
        if !whole.exists() {
            let ((), cost) = machine.account.cost(|| library.fill(settings));
            eprintln!("the registry was filled in {:.0} s", cost.wall / 1000.0);
            std::fs::write(whole, "").expect("say that the library is whole");
        }
        library
    }

    /// The archive of an image.
    pub(crate) fn archive(&self, name: &str) -> PathBuf {
        self.place.join("archives").join(format!("{name}.tar"))
    }

    /// The whole name of an image in the registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{ADDRESS}/{name}:latest")
    }

    /// Docker pushes layers of gzip; podman makes those of zstd of them.
    fn fill(&self, settings: &Settings) {
        let docker = Contender::open(self.machine, Kind::Dockerd, settings);
        for set in PULLED.iter().chain([&SHARED]) {
            ok(docker.docker("load --quiet --input").arg(self.archive(set.name)));
            ok(docker.docker("push --quiet").arg(self.image(set.name)));
        }
        drop(docker);
        let podman = Contender::open(self.machine, Kind::Podman, settings);
        let push = "push --quiet --tls-verify=false --compression-format=zstd --force-compression";
        for set in PULLED.iter().filter(|set| set.zstd) {
            podman.pull(&self.image(set.name));
            let zstd = self.image(&format!("{}-zstd", set.name));
            ok(podman.podman(push).arg(self.image(set.name)).arg(zstd));
        }
    }

    /// Bytes of an image's layers as they come from the registry, by the registry's own word.
    pub(crate) fn compressed(&self, name: &str) -> u64 {
        let manifest = registry::manifest(name);
        let layers = manifest["layers"].as_array().expect("it has layers");
        layers.iter().filter_map(|layer| layer["size"].as_u64()).sum()
    }
}

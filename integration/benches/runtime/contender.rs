//! Who is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundle::Bundle;
use crate::settings::Settings;

/// One of those that are measured.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    /// Its name in the results.
    pub(crate) name: &'static str,
    program: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The C program beside this file, which can do nothing but `run`.
    Floor,
    /// A runtime with runc's command line.
    Runtime,
}

/// All that there are. Who is missing is named.
pub(crate) fn gather(settings: &Settings, scratch: &Path) -> Vec<Contender> {
    let mut contenders = Vec::new();
    let mut add = |name, kind, program: Option<PathBuf>| match program {
        Some(program) => contenders.push(Contender { name, program, kind }),
        None => eprintln!("*** {name} is not measured: there is none (see --help)"),
    };
    add("floor", Kind::Floor, compile_floor(scratch));
    // In the scratch directory it is seen from the other tree too.
    let tare = settings.tare.clone().unwrap_or_else(built_tare);
    let copy = scratch.join("tare");
    std::fs::copy(&tare, &copy).unwrap_or_else(|error| panic!("copy {}: {error}", tare.display()));
    add("tare", Kind::Runtime, Some(copy));
    add("crun", Kind::Runtime, settings.crun.clone());
    add("runc", Kind::Runtime, settings.runc.clone());
    contenders
}

fn compile_floor(scratch: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/runtime/floor.c");
    let program = scratch.join("floor");
    let compiled =
        Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status();
    compiled.is_ok_and(|status| status.success()).then_some(program)
}

/// A bench is target/.../PROFILE/deps/NAME-HASH; `tare` is in PROFILE.
fn built_tare() -> PathBuf {
    let bench = std::env::current_exe().expect("find this bench's own program");
    let tare = bench.ancestors().nth(2).expect("it is two directories down").join("tare");
    assert!(tare.exists(), "there is no {}: `cargo build --release -p tare`", tare.display());
    tare
}

impl Contender {
    /// Whether it can be measured: a runtime that does not even tell its version is left out.
    pub(crate) fn answers(&self) -> bool {
        if self.kind == Kind::Floor {
            return true;
        }
        match Command::new(&self.program).arg("--version").output() {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                eprintln!("{}: {}", self.name, text.lines().next().unwrap_or_default());
                true
            }
            other => {
                eprintln!("*** {} is not measured: {other:?}", self.name);
                false
            }
        }
    }

    /// Whether it has all commands of a runtime.
    pub(crate) fn is_runtime(&self) -> bool {
        self.kind == Kind::Runtime
    }

    /// It, to be given its command, on the containers of `bundle`.
    pub(crate) fn command(&self, bundle: &Bundle) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(bundle.containers(self.name)).current_dir(bundle.path());
        command
    }

    /// It running the bundle's program as the container `id`, from beginning to end.
    pub(crate) fn run(&self, bundle: &Bundle, id: &str) -> Command {
        match self.kind {
            Kind::Runtime => {
                let mut command = self.command(bundle);
                command.args(["run", id]);
                command
            }
            Kind::Floor => {
                let mut command = Command::new(&self.program);
                command.arg(bundle.path().join("rootfs")).arg("/bin/true");
                command
            }
        }
    }
}

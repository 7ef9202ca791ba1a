//! A criu for tests: the machine's own, if it works here, or one that only says what it is told to.

use crate::bundle::Bundle;
use prost::Message;
use rpc::{Features, News, Request, Response, Type, Version};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The messages, as the program has them.
#[path = "../../src/criu/rpc.rs"]
pub(crate) mod rpc;

/// What plays criu: it keeps each request that it reads, and gives the answers it has in a row.
const SCRIPT: &str = r#"#!/bin/bash
cd "$(dirname "$0")" || exit
test "$1" = swrk || exit
number=0
while dd bs=65536 count=1 <&"$2" >"request.$number" 2>/dev/null && test -s "request.$number"; do
    test -e "answer.$number" || exit
    cat "answer.$number" >&"$2"
    number=$((number + 1))
done
"#;

/// A criu that only says what it is told to.
pub(crate) struct FakeCriu {
    directory: tempfile::TempDir,
}

impl FakeCriu {
    /// One that tells its version, and then answers each request as `answers` has it.
    pub(crate) fn new(answers: &[Response]) -> FakeCriu {
        FakeCriu::of_version(4, answers)
    }

    /// One of the major version `major`.
    pub(crate) fn of_version(major: i32, answers: &[Response]) -> FakeCriu {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("criu");
        fs::write(&program, SCRIPT).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let version = Version { major, minor: 1, sublevel: None };
        let told = Response { version: Some(version), ..success(Type::Version) };
        FakeCriu { directory }.with(0, &[told]).with(1, answers)
    }

    fn with(self, first: usize, answers: &[Response]) -> FakeCriu {
        for (number, answer) in (first..).zip(answers) {
            let file = self.directory.path().join(format!("answer.{number}"));
            fs::write(file, answer.encode_to_vec()).unwrap();
        }
        self
    }

    /// Has it answer the request `number` with these bytes, whatever they mean.
    pub(crate) fn garble(&self, number: usize, bytes: &[u8]) {
        fs::write(self.directory.path().join(format!("answer.{number}")), bytes).unwrap();
    }

    /// `tare` on the bundle's containers, which finds this criu.
    pub(crate) fn command(&self, bundle: &Bundle) -> Command {
        with_path(bundle, self.directory.path())
    }

    /// A PATH on which it is found.
    pub(crate) fn search_path(&self) -> String {
        before_path(self.directory.path())
    }

    /// The request `number`, counted from the first after the version was asked for.
    #[track_caller]
    pub(crate) fn request(&self, number: usize) -> Request {
        let file = self.directory.path().join(format!("request.{}", number + 1));
        Request::decode(fs::read(file).unwrap().as_slice()).unwrap()
    }
}

/// An answer without anything special.
pub(crate) fn success(typ: Type) -> Response {
    Response { typ: typ.into(), success: true, ..Response::default() }
}

/// News about the process `pid`.
pub(crate) fn news(script: &str, pid: u32) -> Response {
    let notify = News { script: Some(script.to_owned()), pid: Some(pid as i32) };
    Response { notify: Some(notify), ..success(Type::Notify) }
}

/// The answer of a kernel that has all features.
pub(crate) fn all_features() -> Response {
    let features = Features { mem_track: Some(true), lazy_pages: Some(true) };
    Response { features: Some(features), ..success(Type::FeatureCheck) }
}

/// `tare` on the bundle's containers, with `directory` in front of its path.
pub(crate) fn with_path(bundle: &Bundle, directory: &Path) -> Command {
    let mut command = bundle.command();
    command.env("PATH", before_path(directory));
    command
}

fn before_path(directory: &Path) -> String {
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}

/// The real criu: the program that TARE_TEST_CRIU names, or the one on the path.
pub(crate) struct RealCriu {
    directory: tempfile::TempDir,
}

/// What the real criu can do here.
pub(crate) enum Found {
    /// It works.
    Works(RealCriu),
    /// It is there, and fails for reasons of its own.
    Fails(RealCriu),
    /// It is not installed.
    Missing,
}

impl RealCriu {
    /// Looks for it, and says which tests are made with it.
    pub(crate) fn find() -> Found {
        let named = std::env::var_os("TARE_TEST_CRIU").map(PathBuf::from);
        let on_path = || {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|one| one.join("criu")).find(|one| one.exists())
        };
        let Some(program) = named.or_else(on_path) else {
            println!("criu is not installed: only that this is said is tested");
            return Found::Missing;
        };
        let directory = tempfile::tempdir().unwrap();
        symlink(&program, directory.path().join("criu")).unwrap();
        let criu = RealCriu { directory };
        let mut check = Command::new(&program);
        check.arg("check").stdout(Stdio::null()).stderr(Stdio::null());
        match check.status().unwrap().success() {
            true => Found::Works(criu),
            false => {
                println!("{} does not work here: its error is tested", program.display());
                Found::Fails(criu)
            }
        }
    }

    /// `tare` on the bundle's containers, which finds this criu.
    pub(crate) fn command(&self, bundle: &Bundle) -> Command {
        with_path(bundle, self.directory.path())
    }
}

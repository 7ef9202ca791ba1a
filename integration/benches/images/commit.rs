//! Images of containers.

use tare_integration::archive::{Tar, pack};

use crate::contender::{Contender, Kind};
use crate::library::Library;
use crate::machine::ok;
use crate::report::Report;
use crate::rounds::measure as rounds;
use crate::settings::Settings;

/// Bytes that a container has written when it is committed.
const WRITTEN: usize = 200 << 20;

/// Measures commit.
pub(crate) fn measure(library: &Library<'_>, settings: &Settings, report: &mut Report) {
    let copied = library.machine.path("copied.tar");
    // No longer in memory than this: a process that this one starts has it too, for a moment.
    let mut content = std::fs::read(library.archive("one")).expect("read an image");
    content.truncate(WRITTEN);
    let archive = pack(&[("srv/content".to_owned(), content)]);
    std::fs::write(&copied, archive).expect("write an archive");
    let base = library.machine.path("base.tar");
    std::fs::write(&base, Tar::new().directory("srv", 0o755).bytes()).expect("write an archive");
    let change = |contender: &Contender| {
        ok(contender.docker("import").arg(&base).arg("base"));
        ok(&mut contender.docker("create --name changed --network=none base sh"));
        let archive = std::fs::File::open(&copied).expect("open an archive");
        ok(contender.docker("cp - changed:/").stdin(archive));
    };
    let commit = |contender: &Contender| {
        ok(&mut contender.docker("commit changed made"));
    };
    rounds(library, settings, report, "commit of 200 MB", &Kind::DOCKER, change, commit);
}

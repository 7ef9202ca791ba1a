//! More cuts of the same run: a moment of its history is chosen, the disk is made as a cut at that
//! moment would have left it, and this machine looks at it, which takes no time to boot.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tare_integration::namespaces::Namespaces;

use crate::api::Wrong;
use crate::disk::{Disk, Event, What};
use crate::guest::Then;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::{Book, Settings, task};

/// What the guest says takes some time to get here: a change that it announces so soon after the
/// moment may have begun before it.
const LATE: Duration = Duration::from_secs(5);

/// Looks at the disk as one more cut would have left it. `first` is the disk when the guest was
/// booted, and `ledger` what was known then.
pub(crate) fn replay(
    settings: &Settings,
    first: &Path,
    ledger: &Ledger,
    history: &[Event],
    random: &mut Random,
) -> Result<String, Wrong> {
    let shown = |error: std::io::Error| error.to_string();
    let moment = random.below(history.len());
    let (disk, live) = (settings.state.join("replayed"), settings.state.join("replayed.live"));
    std::fs::copy(first, &disk).map_err(shown)?;
    let mut again = Disk::open(&disk, &live).map_err(shown)?;
    for event in &history[..moment] {
        again.again(&event.what).map_err(shown)?;
    }
    let cut = again.cut(random).map_err(shown)?;
    let ledger = known_at(moment, ledger, history);
    std::fs::write(settings.state.join("ledger"), ledger.text()).map_err(shown)?;
    let summary = look(settings, &disk)?;
    Ok(format!("{summary}; {} bytes kept, {} lost", cut.kept, cut.lost))
}

/// What is known at a moment.
fn known_at(moment: usize, before: &Ledger, history: &[Event]) -> Ledger {
    let mut ledger = before.clone();
    let mut book = Book::new(&mut ledger);
    for event in &history[..moment] {
        if let What::Said(line) = &event.what {
            book.take(line);
        }
    }
    let until = history[moment].at + LATE;
    for event in history[moment..].iter().take_while(|event| event.at < until) {
        if let What::Said(line) = &event.what
            && let Some(name) = line.strip_prefix("? ")
        {
            ledger.take(&format!("? {name}"));
        }
    }
    ledger
}

/// Starts `tared` on a disk, here, with network, mounts and processes of its own.
fn look(settings: &Settings, disk: &Path) -> Result<String, Wrong> {
    let shown = |error: std::io::Error| error.to_string();
    let scratch = tempfile::tempdir().map_err(shown)?;
    let namespaces = Namespaces::make(scratch.path());
    let command = task(settings, &disk.display().to_string(), 0, Then::End)?;
    let output = namespaces
        .command(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(shown)?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("replayed: {said}"));
    }
    let mut ledger = Ledger::default();
    let mut book = Book::new(&mut ledger);
    said.lines().for_each(|line| book.take(line));
    Ok(book.summary)
}

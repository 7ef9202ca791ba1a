//! The power-cut test: a guest whose disk loses what was not flushed pulls, loads, commits and
//! removes images, and its power is cut at random moments. After each cut the next start of `tared`
//! must find all that is listed whole, and nothing that is not.
//!
//! `integration/guest/power-cut` runs it, and says how.
#![allow(clippy::expect_used)]

mod api;
mod check;
mod disk;
mod guest;
mod images;
mod ledger;
mod machine;
mod random;
mod replay;
mod tree;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::Wrong;
use disk::Disk;
use guest::Then;
use ledger::Ledger;
use machine::{End, Machine};
use random::Random;

/// Longer than a guest takes to boot and to look at everything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// One in so many cuts comes while the guest recovers from the last one.
const EARLY: usize = 6;

/// What was asked for.
struct Settings {
    cuts: usize,
    /// How many more moments of each run are looked at.
    replays: usize,
    seed: u64,
    /// For how long the guest works at most.
    seconds: u64,
    file_system: String,
    state: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["on", disk, file_system, state, seed, then] => on_disk(&guest::Task {
            state: Path::new(state),
            disk,
            file_system,
            seed: seed.parse().unwrap_or_default(),
            then: Then::WORDS.iter().find(|word| word.0 == then).map_or(Then::End, |word| word.1),
        }),
        [cuts, replays, seed, seconds, file_system, state] => cut_again_and_again(&Settings {
            cuts: cuts.parse().unwrap_or(10),
            replays: replays.parse().unwrap_or(10),
            seed: seed.parse().unwrap_or(1),
            seconds: seconds.parse().unwrap_or(20),
            file_system: file_system.to_owned(),
            state: PathBuf::from(state),
        }),
        _ => Err("it is run by integration/guest/power-cut".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("power-cut: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// The command that does this on a disk.
fn task(settings: &Settings, disk: &str, seed: u64, then: Then) -> Result<Vec<String>, Wrong> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let (program, state) = (program.display().to_string(), settings.state.display().to_string());
    let word = Then::WORDS.iter().find(|word| word.1 == then).map_or("end", |word| word.0);
    let command = [&program, "on", disk, &settings.file_system, &state, &seed.to_string(), word];
    Ok(command.into_iter().map(str::to_owned).collect())
}

/// Does it, and says what is wrong to whoever follows.
fn on_disk(task: &guest::Task<'_>) -> Result<(), Wrong> {
    guest::run(task).inspect_err(|wrong| {
        say(&format!("WRONG {wrong}"));
        let log = std::fs::read_to_string(guest::LOG).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..]
            .iter()
            .for_each(|line| say(&format!("log: {line}")));
    })
}

/// Says a line at once; in the guest, to the host.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: then nobody needs to know.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn cut_again_and_again(settings: &Settings) -> Result<(), Wrong> {
    let state = &settings.state;
    let shown = |error: std::io::Error| error.to_string();
    images::make(state).map_err(shown)?;
    let (durable, socket) = (state.join("disk"), state.join("disk.socket"));
    let first = state.join("disk.first");
    format(&durable, &settings.file_system)?;
    let disk = Disk::open(&durable, &state.join("disk.live")).map_err(shown)?;
    let disk = Arc::new(Mutex::new(disk));
    disk::serve(Arc::clone(&disk), &socket).map_err(shown)?;
    let mut random = Random::new(settings.seed);
    let mut ledger = Ledger::default();
    for number in 1..=settings.cuts + 1 {
        let then = if number > settings.cuts { Then::Remove } else { Then::Work };
        let known = ledger.clone();
        std::fs::write(state.join("ledger"), ledger.text()).map_err(shown)?;
        std::fs::copy(&durable, &first).map_err(shown)?;
        let command = task(settings, "/dev/vda", random.next(), then)?;
        let machine = Machine::boot(state, &socket, &command).map_err(shown)?;
        let mut guest = Guest { machine, disk: &disk, book: Book::new(&mut ledger) };
        let followed = guest.follow(settings, &mut random, then);
        let summary = followed.and_then(|()| guest.cut()).map_err(|wrong| {
            format!("after cut {} (seed {}): {wrong}", number - 1, settings.seed)
        })?;
        if then == Then::Remove {
            say(&format!("at the end: {summary}"));
            break;
        }
        let (history, cut) = {
            let mut disk = disk.lock().expect("no thread panics with it");
            (disk.take_history(), disk.cut(&mut random).map_err(shown)?)
        };
        say(&format!("cut {number}: {summary}; {} bytes kept, {} lost", cut.kept, cut.lost));
        for replayed in 1..=settings.replays {
            let summary = replay::replay(settings, &first, &known, &history, &mut random)
                .map_err(|wrong| format!("at another moment of run {number}: {wrong}"))?;
            say(&format!("cut {number}, moment {replayed}: {summary}"));
        }
    }
    let moments = settings.cuts * settings.replays;
    say(&format!("{} cuts and {moments} other moments: all was whole", settings.cuts));
    Ok(())
}

/// A guest that is followed.
struct Guest<'a> {
    machine: Machine,
    disk: &'a Mutex<Disk>,
    book: Book<'a>,
}

impl Guest<'_> {
    /// Follows it until its power is to be cut, or it has done its task.
    fn follow(
        &mut self,
        settings: &Settings,
        random: &mut Random,
        then: Then,
    ) -> Result<(), Wrong> {
        let begins = match (then, random.below(EARLY)) {
            (Then::Work, 0) => "starting",
            (Then::Work, _) => "working",
            (Then::End | Then::Remove, _) => "nothing",
        };
        let mut until = Instant::now() + PATIENCE;
        let mut cutting = false;
        loop {
            let line = match self.machine.line(until) {
                Ok(line) => line,
                Err(End::Time) if cutting => return Ok(()),
                Err(End::Time) => return Err("the guest says nothing any more".to_owned()),
                Err(End::Guest) => return Err(format!("it ended: {}", self.book.summary)),
            };
            self.hear(&line);
            if let Some(wrong) = line.strip_prefix("WRONG ") {
                let mut log = Vec::new();
                while let Ok(line) = self.machine.line(until) {
                    log.push(line);
                }
                return Err(format!("{wrong}\n{}", log.join("\n")));
            }
            if line == begins {
                let most = usize::try_from(settings.seconds * 1000).unwrap_or(1).max(1);
                until = Instant::now() + Duration::from_millis(random.below(most) as u64);
                cutting = true;
            }
            if line == "empty" {
                return Ok(());
            }
        }
    }

    /// Cuts its power; says what it has done.
    fn cut(mut self) -> Result<String, Wrong> {
        for line in self.machine.cut()? {
            self.book.take(&line);
        }
        Ok(format!("{}, {} changes", self.book.summary, self.book.done))
    }

    fn hear(&mut self, line: &str) {
        self.disk.lock().expect("no thread panics with it").heard(line);
        self.book.take(line);
    }
}

/// What a guest has said.
struct Book<'a> {
    ledger: &'a mut Ledger,
    /// All that it has told so far, until it has told all.
    told: Option<Ledger>,
    done: usize,
    summary: String,
}

impl<'a> Book<'a> {
    fn new(ledger: &'a mut Ledger) -> Self {
        Self { ledger, told: None, done: 0, summary: String::new() }
    }

    fn take(&mut self, line: &str) {
        match line {
            "ledger begins" => self.told = Some(Ledger::default()),
            "ledger ends" => {
                if let Some(told) = self.told.take() {
                    *self.ledger = told;
                }
            }
            "empty" => self.summary += ", empty",
            line if line.starts_with("started") => line.clone_into(&mut self.summary),
            line if line.starts_with("whole") => self.summary += &format!(", {line}"),
            line => match &mut self.told {
                Some(told) => {
                    told.take(line);
                }
                None => self.done += usize::from(self.ledger.take(line) && !line.starts_with('?')),
            },
        }
    }
}

/// Makes an empty file system.
fn format(disk: &Path, file_system: &str) -> Result<(), Wrong> {
    let made = std::fs::File::create(disk).and_then(|file| file.set_len(256 << 20));
    made.map_err(|error| error.to_string())?;
    let quiet = if file_system == "xfs" || file_system == "ext4" { "-q" } else { "--quiet" };
    let status = Command::new(format!("mkfs.{file_system}")).arg(quiet).arg(disk).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("mkfs.{file_system}: {other:?}")),
    }
}

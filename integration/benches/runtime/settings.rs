//! What the bench is told.

use std::path::PathBuf;

/// How the results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What the bench is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) tare: Option<PathBuf>,
    pub(crate) crun: Option<PathBuf>,
    pub(crate) runc: Option<PathBuf>,
    pub(crate) tree: Option<PathBuf>,
    pub(crate) scratch: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) crowd: usize,
    pub(crate) format: Format,
}

const HELP: &str = "\
usage: bench [FLAG VALUE]...
  --tare PATH     the program under test (default: the one that was built with this bench)
  --crun PATH     crun, or none of it       (or set BENCH_CRUN)
  --runc PATH     runc, or none of it       (or set BENCH_RUNC)
  --tree DIR      a file tree that the two are in, with their libraries (or set BENCH_TREE): all
                  contenders run in it, PATH counts from its top
  --scratch DIR   where to work: below /tmp, /run or /dev (default: /tmp)
  --rounds N      how often each command is measured (default: 40)
  --crowd N       how many containers run at once (default: 32)
  --format table|json";

impl Settings {
    /// Understands the command line, or says what is wrong with it.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
        let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let mut settings = Settings {
            tare: None,
            crun: given("BENCH_CRUN"),
            runc: given("BENCH_RUNC"),
            tree: given("BENCH_TREE"),
            scratch: PathBuf::from("/tmp"),
            rounds: 40,
            crowd: 32,
            format: Format::Table,
        };
        while let Some(flag) = words.next() {
            // Cargo says so to every bench.
            if flag == "--bench" {
                continue;
            }
            let known = [
                "--tare",
                "--crun",
                "--runc",
                "--tree",
                "--scratch",
                "--rounds",
                "--crowd",
                "--format",
            ];
            if !known.contains(&flag.as_str()) {
                return Err(HELP.to_owned());
            }
            let value = words.next().ok_or_else(|| format!("{flag} needs a value\n{HELP}"))?;
            let number = || {
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("{flag} {value}: not a number"))
            };
            let path = || PathBuf::from(&value);
            match flag.as_str() {
                "--tare" => settings.tare = Some(path()),
                "--crun" => settings.crun = Some(path()),
                "--runc" => settings.runc = Some(path()),
                "--tree" => settings.tree = Some(path()),
                "--scratch" => settings.scratch = path(),
                "--rounds" => settings.rounds = number()?,
                "--crowd" => settings.crowd = number()?,
                _ => {
                    settings.format = match value.as_str() {
                        "table" => Format::Table,
                        "json" => Format::Json,
                        _ => return Err(format!("--format {value}: table or json")),
                    }
                }
            }
        }
        Ok(settings)
    }
}

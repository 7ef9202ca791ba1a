//! Telling what went wrong: on standard error, and in the file that the caller reads afterwards.

use crate::container::clock;
use crate::error::{Context, Result};
use rustix::fs::{Mode, OFlags};
use std::path::PathBuf;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="..." level=error msg="..."`
    Text,
    /// One JSON object a line, as containerd reads it.
    Json,
}

impl Format {
    /// Reads the name of a format; none is text.
    pub(crate) fn parse(name: &str) -> Result<Format, String> {
        match name {
            "" | "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            name => Err(format!("invalid log-format: {name}")),
        }
    }
}

/// How bad it is; the worse, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What is being done, for whoever looks for a fault.
    Debug,
    /// The command goes on.
    Warning,
    /// The command failed.
    Error,
}

/// Where messages go.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// The log file; without one, standard error.
    pub(crate) file: Option<PathBuf>,
    /// How lines are written.
    pub(crate) format: Format,
    /// What is less bad is not written.
    pub(crate) least: Level,
}

impl Log {
    /// Checks that the log can be written, before anything is done that would have to be logged.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.file {
            None => Ok(()),
            Some(_) => self.append(""),
        }
    }

    /// Writes `message`. With a log file, standard error gets the bare error too, for whoever
    /// called by hand.
    pub(crate) fn write(&self, level: Level, message: &str) {
        if level < self.least {
            return;
        }
        let line = self.line(level, message);
        let to_stderr = match (&self.file, level) {
            (None, _) => line,
            (Some(_), level) => {
                let written = self.append(&line);
                match (written, level) {
                    (Ok(()), Level::Debug | Level::Warning) => return,
                    (Ok(()), Level::Error) => format!("{message}\n"),
                    // That the log cannot be written may be the very message.
                    (Err(error), _) if error.to_string() == message => line,
                    (Err(error), _) => format!("{message}\n{error}\n"),
                }
            }
        };
        // There is no one left to tell if this fails.
        let _ = rustix::io::write(rustix::stdio::stderr(), to_stderr.as_bytes());
    }

    fn line(&self, level: Level, message: &str) -> String {
        let level = match level {
            Level::Debug => "debug",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let time = clock::now_in_seconds();
        match self.format {
            Format::Text => format!("time={time:?} level={level} msg={message:?}\n"),
            Format::Json => {
                let entry = serde_json::json!({ "level": level, "msg": message, "time": time });
                format!("{entry}\n")
            }
        }
    }

    fn append(&self, line: &str) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let what = || format!("open {}", path.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).context(what)?;
        // One write, so that lines of several programs do not mix.
        rustix::io::write(&file, line.as_bytes()).context(what)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_that_can_be_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log =
            Log { file: Some(file.path().to_owned()), format: Format::Json, least: Level::Warning };
        log.check().unwrap();
        log.write(Level::Debug, "too much");
        log.write(Level::Warning, "a \"quoted\"\nline");
        let text = std::fs::read_to_string(file.path()).unwrap();
        let entry: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(entry["msg"], "a \"quoted\"\nline");
        assert_eq!(entry["level"], "warning");
        assert!(entry["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(text.lines().count(), 1);
    }
}

//! What the history says of instructions, and what docker's builder before `BuildKit` does otherwise.

use super::options::Manner;
use super::state::Running;
use crate::error::{Error, Result};
use crate::image::History;
use crate::instruction::{Network, Run, Security};
use crate::shell;

/// What stands in the history of a classic build where the digest of what was copied belongs, which
/// is only known when it is done.
pub const SOURCES: &str = "{sources}";

/// Whether an instruction makes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Layer,
    NoLayer,
}

impl Running<'_> {
    /// Notes an instruction that made no layer.
    pub(super) fn note(&mut self, text: String) -> Result<()> {
        match self.options.manner {
            Manner::BuildKit => self.push(History::setting(text)),
            Manner::Classic => {
                let text = format!("{} #(nop)  {text}", self.shell_words().join(" "));
                self.push_classic(text, Made::NoLayer)
            }
        }
    }

    /// Notes an instruction that made one, as it is to be written.
    pub(super) fn note_layer(&mut self, text: String) -> Result<()> {
        match self.options.manner {
            Manner::BuildKit => self.push(History::layer(text)),
            Manner::Classic => self.push_classic(text, Made::Layer),
        }
    }

    /// Notes WORKDIR.
    pub(super) fn note_directory(&mut self, directory: &str, made: Made) -> Result<()> {
        let text = format!("WORKDIR {directory}");
        match (self.options.manner, made) {
            (Manner::BuildKit, Made::Layer) => self.note_layer(text),
            (Manner::BuildKit, Made::NoLayer) => self.note(text),
            (Manner::Classic, made) => {
                let text = format!("{} #(nop) {text}", self.shell_words().join(" "));
                self.push_classic(text, made)
            }
        }
    }

    /// Notes ONBUILD, of which only the classic builder tells.
    pub(super) fn note_trigger(&mut self, text: &str) -> Result<()> {
        match self.options.manner {
            Manner::BuildKit => Ok(()),
            Manner::Classic => self.note(format!("ONBUILD {text}")),
        }
    }

    /// Notes the labels that were asked for beside the file, which the classic builder takes for
    /// instructions at its end.
    pub(super) fn note_labels(&mut self) -> Result<()> {
        if self.options.manner == Manner::BuildKit {
            return Ok(());
        }
        let options = self.options;
        for (name, value) in &options.labels {
            self.note(format!("LABEL {name}={value}"))?;
        }
        Ok(())
    }

    /// Notes a command, with the arguments that it can see.
    pub(super) fn note_command(&mut self, words: &[String]) -> Result<()> {
        let env = &self.state.image.config.env;
        let is_set = |name: &str| env.iter().any(|entry| shell::split(entry).0 == name);
        let mut seen: Vec<String> = self
            .state
            .arguments
            .pairs()
            .filter(|(name, _)| !is_set(name))
            .filter_map(|(name, _)| Some(format!("{name}={}", self.state.variables.get(name)?)))
            .collect();
        seen.sort();
        let count = (!seen.is_empty()).then(|| format!("|{}", seen.len()));
        let words = count.into_iter().chain(seen).chain(words.iter().cloned());
        let text = words.collect::<Vec<_>>().join(" ");
        self.push_classic(text, Made::Layer)
    }

    /// COPY or ADD as a classic history has it.
    pub(super) fn noted_copy(&self, instruction: &str, owner: &str, destination: &str) -> String {
        let owner = if owner.is_empty() { String::new() } else { format!("--chown={owner} ") };
        let shell = self.shell_words().join(" ");
        format!("{shell} #(nop) {instruction} {owner}{SOURCES} in {destination} ")
    }

    /// What a stage doesn't get from what it begins with.
    pub(super) fn open_as_classic(&mut self) {
        if self.options.manner == Manner::Classic {
            self.state.image.author.clear();
        }
    }

    /// Refuses what only `BuildKit` has.
    pub(super) fn refuse_flags(&self, run: &Run) -> Result<()> {
        let used = [
            ("device", !run.devices.is_empty()),
            ("mount", !run.mounts.is_empty()),
            ("network", run.network != Network::Default),
            ("security", run.security != Security::Sandbox),
        ];
        match used.into_iter().find(|(_, used)| *used) {
            Some((flag, _)) if self.options.manner == Manner::Classic => Err(needs_buildkit(flag)),
            _ => Ok(()),
        }
    }

    /// Refuses `--chmod`, which only `BuildKit` has.
    pub(super) fn refuse_mode(&self, mode: &str) -> Result<()> {
        match self.options.manner {
            Manner::Classic if !mode.is_empty() => Err(needs_buildkit("chmod")),
            _ => Ok(()),
        }
    }

    fn push_classic(&mut self, text: String, made: Made) -> Result<()> {
        let author = &self.state.image.author;
        let step = History::classic(text, author, made == Made::NoLayer);
        self.push(step)
    }

    fn push(&mut self, step: History) -> Result<()> {
        self.budget.take(step.created_by.len() + step.author.len())?;
        self.state.image.history.push(step);
        Ok(())
    }
}

fn needs_buildkit(flag: &str) -> Error {
    Error::new(format!(
        "the --{flag} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to \
         learn how to build images with BuildKit enabled"
    ))
}

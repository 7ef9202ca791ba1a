//! Instructions that make no files.

use serde_json::Map;

use super::arguments::NO_VARIABLES;
use super::noting::Made::{Layer, NoLayer};
use super::operation::{Making, Work};
use super::options::Manner;
use super::port;
use super::signal;
use super::state::Running;
use crate::error::{Error, Lines, Result};
use crate::image::Health;
use crate::instruction::{Argument, Check, Command, Step, Variable, Words};
use crate::lint::{Finding, looks_secret};
use crate::shell::Expansion;
use crate::text::{path, quote};

/// What runs lines where nothing is said.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Running<'_> {
    pub(super) fn env(&mut self, step: &Step, variables: &[Variable]) -> Result<()> {
        let variables = self.variables(step, variables)?;
        let mut text = "ENV".to_owned();
        for Variable { name, value, legacy } in variables {
            if legacy {
                self.report(step, Finding::LegacyKeyValueFormat { instruction: step.word.clone() });
            }
            self.report_secret(step, "ENV", &name);
            text.push_str(&format!(" {name}={value}"));
            self.state.set(&name, &value);
            self.state.image.config.set_variable(&name, &value);
        }
        self.note(text)
    }

    pub(super) fn label(&mut self, step: &Step, labels: &[Variable]) -> Result<()> {
        let labels = self.variables(step, labels)?;
        let mut text = "LABEL".to_owned();
        for Variable { name, value, legacy } in labels {
            if legacy {
                self.report(step, Finding::LegacyKeyValueFormat { instruction: step.word.clone() });
            }
            text.push_str(&format!(" {name}={value}"));
            self.state.image.config.labels.insert(name, value);
        }
        self.note(text)
    }

    /// All values of an instruction see what was before it.
    fn variables(&mut self, step: &Step, variables: &[Variable]) -> Result<Vec<Variable>> {
        let mut found = Vec::with_capacity(variables.len());
        for variable in variables {
            let name = self.expand(step, &variable.name)?;
            let value = self.expand(step, &variable.value)?;
            found.push(Variable { name, value, legacy: variable.legacy });
        }
        Ok(found)
    }

    pub(super) fn arg(&mut self, step: &Step, arguments: &[Argument]) -> Result<()> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let name = &argument.name;
            self.report_secret(step, "ARG", name);
            let given = self.options.arguments.get(name);
            let value = match (given, &argument.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(step, default)?),
                (None, None) => self.global.get(name).map(str::to_owned),
            };
            let noted = match (self.options.manner, &argument.default) {
                (Manner::BuildKit, _) => value.clone(),
                (Manner::Classic, None) => None,
                (Manner::Classic, Some(default)) => Some(self.expand(step, default)?),
            };
            match &noted {
                Some(value) => texts.push(format!("{name}={value}")),
                None => texts.push(name.clone()),
            }
            if let Some(value) = &value
                && !NO_VARIABLES.contains(&name.as_str())
            {
                self.state.set(name, value);
            }
            self.state.arguments.declare(name, value);
        }
        self.note(format!("ARG {}", texts.join(" ")))
    }

    fn report_secret(&mut self, step: &Step, instruction: &'static str, name: &str) {
        if looks_secret(name) {
            let name = name.to_owned();
            self.report(step, Finding::SecretsUsedInArgOrEnv { instruction, name });
        }
    }

    pub(super) fn cmd(&mut self, step: &Step, command: &Command) -> Result<()> {
        let before = self.last_command.replace(step.lines);
        self.report_again(step, before);
        let words = self.command(step, &command.words);
        let text = format!("CMD {}", quote::quoted_list(&words));
        self.state.image.config.cmd = Some(words);
        self.state.image.config.args_escaped = self.options.manner == Manner::BuildKit;
        self.note(text)
    }

    pub(super) fn entrypoint(&mut self, step: &Step, command: &Command) -> Result<()> {
        let before = self.last_entrypoint.replace(step.lines);
        self.report_again(step, before);
        let words = self.command(step, &command.words);
        let text = format!("ENTRYPOINT {}", quote::quoted_list(&words));
        self.state.image.config.entrypoint = Some(words);
        if self.options.manner == Manner::Classic {
            self.state.image.config.args_escaped = false;
        }
        // The command of an image was meant for its own entry point.
        if self.last_command.is_none() {
            self.state.image.config.cmd = None;
        }
        self.note(text)
    }

    fn command(&mut self, step: &Step, words: &Words) -> Vec<String> {
        if matches!(words, Words::Line(_)) && self.state.image.config.shell.is_empty() {
            self.report(step, Finding::JsonArgsRecommended { instruction: step.word.clone() });
        }
        words.with_shell(&self.shell_words())
    }

    pub(super) fn shell_words(&self) -> Vec<String> {
        match self.state.image.config.shell.as_slice() {
            [] => SHELL.map(str::to_owned).to_vec(),
            words => words.to_vec(),
        }
    }

    /// Only the last one counts, so the one before is of no use.
    fn report_again(&mut self, step: &Step, before: Option<Lines>) {
        if let Some(lines) = before {
            let instruction = step.word.clone();
            let finding = Finding::MultipleInstructionsDisallowed { instruction };
            self.linter.report_near(&step.comments, lines, finding);
        }
    }

    pub(super) fn healthcheck(&mut self, step: &Step, check: &Check) -> Result<()> {
        let before = self.last_check.replace(step.lines);
        self.report_again(step, before);
        let health = Health::from(check);
        let text = match self.options.manner {
            Manner::BuildKit => format!("HEALTHCHECK {health}"),
            Manner::Classic => format!("HEALTHCHECK {}", health.plain()),
        };
        self.state.image.config.healthcheck = Some(health);
        self.note(text)
    }

    pub(super) fn expose(&mut self, step: &Step, written: &[String]) -> Result<()> {
        let (mut ports, mut said) = (Vec::new(), Vec::new());
        for word in written {
            // What is not set is no port, and nobody is told.
            let words = Expansion::new(self.escape).expand(word, &self.state.variables)?.words;
            self.budget.take(words.iter().map(String::len).sum())?;
            for word in words {
                let found = port::read(&word)?;
                for finding in found.findings {
                    self.report(step, finding);
                }
                self.budget.take(found.ports.len() * 64)?;
                ports.extend(found.ports);
                said.push(word);
            }
        }
        let text = match self.options.manner {
            Manner::BuildKit => format!("EXPOSE [{}]", ports.join(" ")),
            Manner::Classic => format!("EXPOSE {}", said.join(" ")),
        };
        let ports = ports.into_iter().map(|port| (port, Map::new()));
        self.state.image.config.exposed_ports.extend(ports);
        self.note(text)
    }

    pub(super) fn volume(&mut self, step: &Step, written: &[String]) -> Result<()> {
        let mut volumes = Vec::with_capacity(written.len());
        for word in written {
            let volume = self.expand(step, word)?;
            if volume.is_empty() {
                let expected = "VOLUME specified can not be an empty string";
                return Err(Error::new(expected));
            }
            volumes.push(volume);
        }
        let text = format!("VOLUME [{}]", volumes.join(" "));
        let volumes = volumes.into_iter().map(|volume| (volume, Map::new()));
        self.state.image.config.volumes.extend(volumes);
        self.note(text)
    }

    pub(super) fn user(&mut self, step: &Step, written: &str) -> Result<()> {
        let user = self.expand(step, written)?;
        self.state.image.config.user.clone_from(&user);
        self.note(format!("USER {user}"))
    }

    pub(super) fn stop_signal(&mut self, step: &Step, written: &str) -> Result<()> {
        let signal = self.expand(step, written)?;
        signal::require(&signal)?;
        self.state.image.config.stop_signal.clone_from(&signal);
        self.note(format!("STOPSIGNAL {signal}"))
    }

    pub(super) fn shell(&mut self, words: &[String]) -> Result<()> {
        self.state.image.config.shell = words.to_vec();
        self.note(format!("SHELL [{}]", words.join(" ")))
    }

    pub(super) fn maintainer(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.state.image.author);
        self.note(format!("MAINTAINER {name}"))
    }

    /// Sets the directory, and makes it.
    pub(super) fn workdir(
        &mut self,
        step: &Step,
        written: &str,
        triggered: bool,
    ) -> Result<Option<(Work, String)>> {
        let said = self.expand(step, written)?;
        if !self.state.has_directory && !said.starts_with('/') {
            self.report(step, Finding::WorkdirRelativePath { path: said.clone() });
        }
        self.state.has_directory = true;
        let directory = path::absolute(self.state.directory(), &said);
        self.state.image.config.working_dir.clone_from(&directory);
        if directory == "/" {
            self.note_directory("/", NoLayer)?;
            return Ok(None);
        }
        let title = self.shown(step)?;
        let title = self.title(&title, triggered);
        self.note_directory(&directory, Layer)?;
        let user = self.state.image.config.user.clone();
        Ok(Some((Work::Make(Making { path: directory, user }), title)))
    }
}

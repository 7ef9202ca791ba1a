//! RUN.

use super::graph::StageId;
use super::operation::{self, Script, Work};
use super::options::Manner;
use super::state::Running;
use super::title::in_capitals;
use crate::error::{Error, Result};
use crate::instruction::{Run, Step, Words};
use crate::shell::{Environment, Expansion, Quotes, Unset};
use crate::syntax::Heredoc;

/// Where a program is that is in the Dockerfile.
const SCRIPTS: &str = "/dev/pipes/";
/// What is shown in place of a secret.
const HIDDEN: &str = "****";

/// A command, and what there is to say of it.
struct Prepared {
    words: Words,
    script: Option<Script>,
    /// What comes after the instruction where it is shown.
    summary: String,
}

impl Running<'_> {
    pub(super) fn run(
        &mut self,
        step: &Step,
        run: &Run,
        origins: &[Option<StageId>],
        triggered: bool,
    ) -> Result<(Work, String)> {
        self.refuse_flags(run)?;
        if !run.devices.is_empty() {
            return Err(Error::new(
                "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
            ));
        }
        let Prepared { words, script, summary } = prepared(run)?;
        let arguments = words.with_shell(&self.shell_words());
        let mounts = self.mounts(step, &run.mounts, origins)?;
        let shown = self.shown_run(&format!("{}{summary}", step.source), &mounts)?;
        let title = self.title(&shown, triggered);
        let running = operation::Running {
            arguments,
            environment: self.state.environment(self.budget)?,
            directory: self.state.directory().to_owned(),
            user: self.state.image.config.user.clone(),
            mounts,
            network: run.network,
            security: run.security,
            script,
        };
        match self.options.manner {
            Manner::BuildKit => {
                let text = self.with_arguments(&running.arguments);
                self.note_layer(format!("RUN {text} # buildkit"))?;
            }
            Manner::Classic => self.note_command(&running.arguments)?,
        }
        Ok((Work::Run(Box::new(running)), title))
    }

    /// The command with the arguments that it may depend on: `|1 VERSION=2 /bin/sh -c make`.
    fn with_arguments(&self, words: &[String]) -> String {
        let arguments = &self.state.arguments;
        let mut parts = Vec::with_capacity(arguments.len() + words.len() + 1);
        if !arguments.is_empty() {
            parts.push(format!("|{}", arguments.len()));
        }
        for (name, declared) in arguments.pairs() {
            let value = self.state.variables.get(name).unwrap_or(declared);
            parts.push(format!("{name}={value}"));
        }
        parts.extend(words.iter().cloned());
        parts.join(" ")
    }

    fn shown_run(&mut self, text: &str, mounts: &[operation::PlannedMount]) -> Result<String> {
        let secrets = mounts.iter().filter_map(|mount| match &mount.kind {
            operation::PlannedMountKind::Secret { env, .. } => env.as_deref(),
            _ => None,
        });
        let hidden: Vec<&str> = secrets.collect();
        let mut masked: Environment;
        let variables = if hidden.is_empty() {
            &self.state.variables
        } else {
            masked = self.state.variables.clone();
            hidden.into_iter().for_each(|name| masked.set(name, HIDDEN));
            &masked
        };
        let rules =
            Expansion { quotes: Quotes::Kept, unset: Unset::Kept, ..Expansion::new(self.escape) };
        // What a shell would not understand is shown as it is.
        let shown =
            rules.expand(text, variables).map_or_else(|_| text.to_owned(), |found| found.text);
        self.budget.take(shown.len())?;
        Ok(in_capitals(&shown))
    }

    /// A step as progress shows it.
    pub(super) fn shown(&mut self, step: &Step) -> Result<String> {
        let rules = Expansion::new(self.escape);
        let text = &step.source;
        let shown = rules
            .expand(text, &self.state.variables)
            .map_or_else(|_| text.clone(), |found| found.text);
        self.budget.take(shown.len())?;
        Ok(in_capitals(&shown))
    }
}

/// Puts a command and its documents together.
fn prepared(run: &Run) -> Result<Prepared> {
    let documents = &run.command.documents;
    let words = run.command.words.clone();
    let plain = |words| Prepared { words, script: None, summary: String::new() };
    let (Some(first), Words::Line(Some(line))) = (documents.first(), &words) else {
        return Ok(plain(words));
    };
    if Heredoc::parse(line)?.is_none() {
        // A shell that is given a line with documents understands it itself.
        let mut whole = line.clone();
        for document in documents {
            whole.push('\n');
            whole.push_str(&document.content);
            whole.push_str(&document.name);
        }
        return Ok(plain(Words::Line(Some(whole))));
    }
    let text = first.text();
    let summary = format!(" ({})", summary(&first.content));
    if !text.starts_with("#!") {
        return Ok(Prepared { words: Words::Line(Some(text)), script: None, summary });
    }
    // It says itself who understands it; the shell only starts it.
    if first.name.contains('/') || matches!(first.name.as_str(), "." | "..") {
        return Err(Error::new(format!("a program can't be named {}", first.name)));
    }
    let path = format!("{SCRIPTS}{}", first.name);
    let words = Words::Line(Some(path.clone()));
    Ok(Prepared { words, script: Some(Script { path, text }), summary })
}

/// The first line of a document.
fn summary(text: &str) -> String {
    let text = text.trim();
    match text.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => text.to_owned(),
    }
}

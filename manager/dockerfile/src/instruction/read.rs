//! Says which instruction a node is, and reads it as that.

use super::command::{Command, Words};
use super::flag::Flags;
use super::{Instruction, Step, check, copy, from, name_value, run, trigger};
use crate::error::{Error, Result};
use crate::lint::{Finding, Linter};
use crate::syntax::{Arguments, Keyword, Node};

/// Reads everything but FROM.
pub(super) fn step(node: &Node, linter: &mut Linter) -> Result<Step> {
    let Some(keyword) = node.keyword() else { return Err(unknown(node)) };
    let instruction = match keyword {
        Keyword::From => {
            return Err(Error::new("FROM begins a stage, which can't be done here"));
        }
        Keyword::Add => Instruction::Add(Box::new(copy::add(node)?)),
        Keyword::Copy => Instruction::Copy(Box::new(copy::copy(node)?)),
        Keyword::Run => Instruction::Run(Box::new(run::run(node)?)),
        Keyword::Healthcheck => Instruction::Healthcheck(check::check(node)?),
        _ => {
            Flags::read(keyword, &node.flags)?;
            without_flags(keyword, node, linter)?
        }
    };
    Ok(Step {
        instruction,
        word: node.word.clone(),
        source: node.original.trim().to_owned(),
        lines: node.lines,
        comments: node.comments.clone(),
    })
}

fn unknown(node: &Node) -> Error {
    let text = format!("unknown instruction: {}", node.word);
    Error::new(match Keyword::meant_by(&node.word) {
        Some(meant) => format!("{text} (did you mean {meant}?)"),
        None => text,
    })
}

fn argument(node: &Node, linter: &mut Linter) -> Result<Instruction> {
    let arguments = name_value::arguments(&node.arguments, &node.comments)?;
    let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    if let Some(finding) = from::undescribed("ARG", &names, &node.comments) {
        linter.report_near(&node.comments, node.lines, finding);
    }
    Ok(Instruction::Arg(arguments))
}

fn without_flags(keyword: Keyword, node: &Node, linter: &mut Linter) -> Result<Instruction> {
    let command = || Command { words: Words::read(&node.arguments), documents: Vec::new() };
    Ok(match keyword {
        Keyword::Arg => argument(node, linter)?,
        Keyword::Cmd => Instruction::Cmd(command()),
        Keyword::Entrypoint => Instruction::Entrypoint(command()),
        Keyword::Env => Instruction::Env(name_value::variables(keyword, &node.arguments)?),
        Keyword::Label => Instruction::Label(name_value::variables(keyword, &node.arguments)?),
        Keyword::Expose => {
            let mut ports = words(keyword, node)?;
            ports.sort();
            Instruction::Expose(ports)
        }
        Keyword::Volume => Instruction::Volume(volumes(node)?),
        Keyword::Maintainer => {
            linter.report_near(&node.comments, node.lines, Finding::MaintainerDeprecated);
            Instruction::Maintainer(line(keyword, node)?)
        }
        Keyword::Onbuild => Instruction::Onbuild(trigger::text(node)?),
        Keyword::Shell => Instruction::Shell(shell(node)?),
        Keyword::Stopsignal => Instruction::Stopsignal(line(keyword, node)?),
        Keyword::User => Instruction::User(line(keyword, node)?),
        Keyword::Workdir => Instruction::Workdir(line(keyword, node)?),
        Keyword::Add | Keyword::Copy | Keyword::From | Keyword::Healthcheck | Keyword::Run => {
            return Err(unknown(node));
        }
    })
}

fn line(keyword: Keyword, node: &Node) -> Result<String> {
    match &node.arguments {
        Arguments::Line(line) => Ok(line.clone()),
        _ => Err(Error::new(format!("{} requires exactly one argument", keyword.name()))),
    }
}

fn words(keyword: Keyword, node: &Node) -> Result<Vec<String>> {
    match &node.arguments {
        Arguments::Words(words) | Arguments::List(words) if !words.is_empty() => Ok(words.clone()),
        _ => Err(Error::new(format!("{} requires at least one argument", keyword.name()))),
    }
}

fn volumes(node: &Node) -> Result<Vec<String>> {
    let volumes = words(Keyword::Volume, node)?;
    let volumes: Vec<String> = volumes.iter().map(|volume| volume.trim().to_owned()).collect();
    if volumes.iter().any(String::is_empty) {
        return Err(Error::new("VOLUME specified can not be an empty string"));
    }
    Ok(volumes)
}

fn shell(node: &Node) -> Result<Vec<String>> {
    match &node.arguments {
        Arguments::List(words) if !words.is_empty() => Ok(words.clone()),
        Arguments::Line(_) => Err(Error::new("SHELL requires the arguments to be in JSON form")),
        _ => Err(Error::new("SHELL requires at least one argument")),
    }
}

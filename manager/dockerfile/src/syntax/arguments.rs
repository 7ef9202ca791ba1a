//! Takes apart what follows an instruction's flags.

use super::flags::is_space;
use super::node::{Arguments, Pair};
use super::{Keyword, json, parse, words};
use crate::error::{Error, Result};
use crate::text::quote::quoted;

/// Takes `rest` apart as `keyword` wants it.
pub(super) fn arguments(keyword: Keyword, rest: &str, escape: char) -> Result<Arguments> {
    if rest.is_empty() {
        return Ok(Arguments::None);
    }
    Ok(match keyword {
        Keyword::Add | Keyword::Copy | Keyword::Volume => {
            json::list(rest)?.map_or_else(|| separated(rest), Arguments::List)
        }
        Keyword::Expose | Keyword::From => separated(rest),
        Keyword::Arg => Arguments::Words(words::split(rest, escape)),
        Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell => command(rest)?,
        Keyword::Env | Keyword::Label => pairs(keyword, rest, escape)?,
        Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => {
            Arguments::Line(rest.to_owned())
        }
        Keyword::Healthcheck => {
            let (kind, command_line) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let command = command(command_line.trim_start())?;
            Arguments::Check { kind: kind.to_owned(), command: Box::new(command) }
        }
        Keyword::Onbuild => Arguments::Trigger(Box::new(parse::trigger(rest, escape)?)),
    })
}

fn separated(rest: &str) -> Arguments {
    let words = rest.split(is_space).filter(|word| !word.is_empty());
    Arguments::Words(words.map(str::to_owned).collect())
}

fn command(rest: &str) -> Result<Arguments> {
    if rest.is_empty() {
        return Ok(Arguments::None);
    }
    Ok(json::list(rest)?.map_or_else(|| Arguments::Line(rest.to_owned()), Arguments::List))
}

/// `name=value ...`, or one name and the rest of the line as its value.
fn pairs(keyword: Keyword, rest: &str, escape: char) -> Result<Arguments> {
    let words = words::split(rest, escape);
    let Some(first) = words.first() else { return Ok(Arguments::None) };
    if !first.contains('=') {
        let Some((name, value)) = rest.split_once(is_space) else {
            return Err(Error::new(format!("{} must have two arguments", keyword.name())));
        };
        let value = value.trim_start_matches(is_space).to_owned();
        return Ok(Arguments::Pairs(vec![Pair { name: name.to_owned(), value, legacy: true }]));
    }
    let pairs = words.iter().map(|word| match word.split_once('=') {
        Some((name, value)) => {
            Ok(Pair { name: name.to_owned(), value: value.to_owned(), legacy: false })
        }
        None => Err(Error::new(format!(
            "Syntax error - can't find = in {}. Must be of the form: name=value",
            quoted(word)
        ))),
    });
    pairs.collect::<Result<_>>().map(Arguments::Pairs)
}

//! HEALTHCHECK.

use super::command::Words;
use super::flag::Flags;
use crate::error::{Error, Result};
use crate::syntax::{Arguments, Keyword, Node};
use crate::text::{duration, quote::quoted};

const MILLISECOND: i64 = 1_000_000;

/// How a container is asked whether it is well. Times are in nanoseconds; zero leaves them to who
/// asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// `NONE`; `CMD` and words; or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// The time between one and the next.
    pub interval: i64,
    /// How long one may take.
    pub timeout: i64,
    /// How long failures don't count.
    pub start_period: i64,
    /// The time between one and the next for so long.
    pub start_interval: i64,
    /// After how many failures it is not well.
    pub retries: i32,
}

pub(super) fn check(node: &Node) -> Result<Check> {
    let Arguments::Check { kind, command } = &node.arguments else {
        return Err(Error::new("HEALTHCHECK requires at least one argument"));
    };
    let kind = kind.to_uppercase();
    let words = Words::read(command);
    if kind == "NONE" {
        // Flags mean nothing then, and are not looked at.
        return match words {
            Words::Line(None) => Ok(Check { test: vec![kind], ..Check::default() }),
            Words::List(words) if words.is_empty() => {
                Ok(Check { test: vec![kind], ..Check::default() })
            }
            _ => Err(Error::new("HEALTHCHECK NONE takes no arguments")),
        };
    }
    let flags = Flags::read(Keyword::Healthcheck, &node.flags)?;
    Ok(Check {
        test: test(&kind, words)?,
        interval: interval(&flags, "interval")?,
        timeout: interval(&flags, "timeout")?,
        start_period: interval(&flags, "start-period")?,
        start_interval: interval(&flags, "start-interval")?,
        retries: retries(&flags.text("retries"))?,
    })
}

fn test(kind: &str, words: Words) -> Result<Vec<String>> {
    if kind != "CMD" {
        let expected = format!("Unknown type {} in HEALTHCHECK (try CMD)", quoted(kind));
        return Err(Error::new(expected));
    }
    let (kind, words) = match words {
        Words::List(words) => (kind, words),
        Words::Line(line) => ("CMD-SHELL", line.into_iter().collect()),
    };
    if words.is_empty() {
        return Err(Error::new("Missing command after HEALTHCHECK CMD"));
    }
    Ok(std::iter::once(kind.to_owned()).chain(words).collect())
}

fn interval(flags: &Flags<'_>, name: &str) -> Result<i64> {
    let text = flags.text(name);
    if text.is_empty() {
        return Ok(0);
    }
    let value = duration::parse(&text).map_err(Error::new)?;
    if value != 0 && value < MILLISECOND {
        let expected = format!("Interval {} cannot be less than 1ms", quoted(name));
        return Err(Error::new(expected));
    }
    Ok(value)
}

fn retries(text: &str) -> Result<i32> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = if is_number { "value out of range" } else { "invalid syntax" };
    let retries: i32 = text
        .parse()
        .map_err(|_| Error::new(format!("strconv.ParseInt: parsing {}: {wrong}", quoted(text))))?;
    if retries < 0 {
        return Err(Error::new(format!("--retries cannot be negative ({retries})")));
    }
    Ok(retries)
}

//! Filters as clients of BuildKit write them: `status==error,ref~=^x`. All parts must hold; a field
//! alone must be there, and `!=` holds where there is none.

use std::iter::Peekable;
use std::str::Chars;

use jiff::SignedDuration;
use regex::Regex;

use crate::cache::Usage;
use crate::error::{Error, Result};

/// Parts that a filter may have.
const MOST: usize = 100;

/// A filter.
#[derive(Debug)]
pub(crate) struct Filter(Vec<Part>);

#[derive(Debug)]
struct Part {
    field: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

impl Filter {
    /// Reads one.
    ///
    /// # Errors
    /// With what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong =
            |reason: &str| Error::invalid(format!("filters: parse error: [{text}]: {reason}"));
        let mut parts = Vec::new();
        let mut rest = text.chars().peekable();
        while rest.peek().is_some() {
            let field = field(&mut rest).map_err(wrong)?;
            let test = test(&mut rest).map_err(wrong)?;
            parts.push(Part { field, test });
            if parts.len() > MOST {
                return Err(wrong("too many parts"));
            }
            match rest.next() {
                None => break,
                Some(',') if rest.peek().is_some() => {}
                Some(',') => return Err(wrong("expected field or quoted")),
                Some(_) => return Err(wrong("unexpected input")),
            }
        }
        Ok(Self(parts))
    }

    /// Whether it holds for what has these fields.
    pub(crate) fn holds(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        self.0.iter().all(|part| part.test.holds(value(&part.field)))
    }
}

impl Test {
    fn holds(&self, value: Option<String>) -> bool {
        match (self, value) {
            (Self::Present, value) => value.is_some(),
            (Self::Equal(wanted), value) => value.as_ref() == Some(wanted),
            (Self::NotEqual(unwanted), value) => value.as_ref() != Some(unwanted),
            (Self::Matches(pattern), Some(value)) => pattern.is_match(&value),
            (Self::Matches(_), None) => false,
        }
    }
}

/// Whether a part of the cache is one of those that `filters` name; all are, if there are none.
///
/// # Errors
/// One of them isn't a filter.
pub fn of_usage(filters: &[String]) -> Result<impl Fn(&Usage) -> bool + Send + Sync + use<>> {
    let filters: Vec<_> = filters.iter().map(|text| Filter::parse(text)).collect::<Result<_>>()?;
    Ok(move |usage: &Usage| {
        filters.is_empty()
            || filters.iter().any(|filter| filter.holds(|name| value_of(usage, name)))
    })
}

/// A field by its name in filters. A flag is there, or isn't.
fn value_of(usage: &Usage, name: &str) -> Option<String> {
    let flag = |is_set: bool| is_set.then(String::new);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    match name {
        "id" => text(&usage.id),
        "parents" => text(&usage.parents.join(";")),
        "description" => text(&usage.description),
        "type" => text(usage.kind.name()),
        "inuse" => flag(usage.in_use),
        "mutable" => flag(usage.mutable),
        "immutable" => flag(!usage.mutable),
        "shared" => flag(usage.shared),
        "private" => flag(!usage.shared),
        _ => None,
    }
}

/// A length of time as Go writes it: `1h30m`, `1.5s`.
#[must_use]
pub fn duration(text: &str) -> Option<SignedDuration> {
    let mut seconds = 0.0;
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
        if rest.is_empty() {
            return SignedDuration::try_from_secs_f64(seconds).ok();
        }
    }
}

type Rest<'a> = Peekable<Chars<'a>>;

fn field(rest: &mut Rest<'_>) -> Result<String, &'static str> {
    let is_part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let field: String = std::iter::from_fn(|| rest.next_if(is_part)).collect();
    match field.is_empty() {
        true => Err("expected field or quoted"),
        false => Ok(field),
    }
}

fn test(rest: &mut Rest<'_>) -> Result<Test, &'static str> {
    const EXPECTED: &str = r#"expected an operator ("=="|"!="|"~=")"#;
    let first = match rest.peek() {
        None | Some(',') => return Ok(Test::Present),
        Some(first @ ('=' | '!' | '~')) => *first,
        Some(_) => return Err(EXPECTED),
    };
    rest.next();
    if rest.next() != Some('=') {
        return Err(EXPECTED);
    }
    let value = value(rest)?;
    match first {
        '=' => Ok(Test::Equal(value)),
        '!' => Ok(Test::NotEqual(value)),
        _ => Regex::new(&value).map(Test::Matches).map_err(|_| "not a regular expression"),
    }
}

fn value(rest: &mut Rest<'_>) -> Result<String, &'static str> {
    let Some(quote) = rest.next_if(|c| matches!(c, '"' | '\'' | '/' | '|')) else {
        return Ok(std::iter::from_fn(|| rest.next_if(|c| *c != ',')).collect());
    };
    let mut value = String::new();
    loop {
        match rest.next().ok_or("quoted literal not terminated")? {
            end if end == quote => return Ok(value),
            '\\' => {
                let next = rest.next().ok_or("quoted literal not terminated")?;
                if next != quote && next != '\\' {
                    value.push('\\');
                }
                value.push(next);
            }
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(filter: &str) -> bool {
        Filter::parse(filter).unwrap().holds(|field| match field {
            "ref" => Some("abc/def".to_owned()),
            "status" => Some("error".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn all_parts_must_hold() {
        assert!(holds(""));
        assert!(holds("ref"));
        assert!(holds("status==error,ref~=^abc"));
        assert!(holds("status==\"error\",other!=x"));
        assert!(holds("ref~=/c\\/d/"));
        assert!(!holds("other"));
        assert!(!holds("status==completed"));
        assert!(!holds("ref~=^def,status==error"));
    }

    #[test]
    fn durations_are_gos() {
        let of = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(of("1h2m3.5s"), Some(3_723_500));
        assert_eq!(of("15ms"), Some(15));
        assert_eq!(of(""), None);
        assert_eq!(of("3"), None);
        assert_eq!(of("3x"), None);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for wrong in ["=x", "a=b", "a<b", "a==\"x", "a~=(", "a==b,"] {
            let error = Filter::parse(wrong).map(drop).unwrap_err();
            assert!(error.message.contains(wrong), "{error}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_written(text: String) {
            let _ = Filter::parse(&text);
            let _ = duration(&text);
        }
    }
}

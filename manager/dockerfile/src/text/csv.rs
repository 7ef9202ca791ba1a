//! One line of values between commas, of which some may be in quotes.

/// The values of `line`.
///
/// # Errors
/// Go's text of what is wrong.
pub fn fields(line: &str) -> Result<Vec<String>, String> {
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (field, after) = match line[at..].strip_prefix('"') {
            Some(_) => in_quotes(line, at + 1)?,
            None => plain(line, at)?,
        };
        fields.push(field);
        match after {
            Some(next) => at = next,
            None => return Ok(fields),
        }
    }
}

/// A value and where the next one begins, if there is one.
type Field = (String, Option<usize>);

fn plain(line: &str, start: usize) -> Result<Field, String> {
    let end = line[start..].find(',').map_or(line.len(), |comma| start + comma);
    if let Some(quote) = line[start..end].find('"') {
        return Err(error(start + quote, "bare \" in non-quoted-field"));
    }
    let next = (end < line.len()).then_some(end + 1);
    Ok((line[start..end].to_owned(), next))
}

fn in_quotes(line: &str, start: usize) -> Result<Field, String> {
    let mut field = String::new();
    let mut at = start;
    loop {
        let Some(quote) = line[at..].find('"') else {
            return Err(error(at, "extraneous or missing \" in quoted-field"));
        };
        field.push_str(&line[at..at + quote]);
        at += quote + 1;
        match line.as_bytes().get(at) {
            Some(b'"') => {
                field.push('"');
                at += 1;
            }
            Some(b',') => return Ok((field, Some(at + 1))),
            None => return Ok((field, None)),
            Some(_) => return Err(error(at - 1, "extraneous or missing \" in quoted-field")),
        }
    }
}

fn error(position: usize, what: &str) -> String {
    format!("parse error on line 1, column {}: {what}", position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_at_commas_outside_of_quotes() {
        for (line, expected) in [
            ("a", vec!["a"]),
            ("a,b=c,", vec!["a", "b=c", ""]),
            ("\"a,b\",c", vec!["a,b", "c"]),
            ("\"a\"\"b\"", vec!["a\"b"]),
            ("\"\",x\r\n", vec!["", "x"]),
        ] {
            assert_eq!(fields(line).unwrap(), expected, "{line}");
        }
        for bad in ["", "\n", "a\"b", "\"a", "\"a\"b"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
        assert_eq!(
            fields("a,b\"").unwrap_err(),
            "parse error on line 1, column 4: bare \" in non-quoted-field"
        );
    }
}

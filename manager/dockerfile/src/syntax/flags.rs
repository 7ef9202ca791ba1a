//! Where an instruction's word, its flags and its arguments begin and end.

/// The parts of an instruction's line.
pub(super) struct Line<'a> {
    pub(super) word: &'a str,
    pub(super) flags: Vec<String>,
    pub(super) rest: &'a str,
}

pub(super) fn split(line: &str, escape: char) -> Line<'_> {
    let line = line.trim();
    let Some((word, rest)) = line.split_once(is_space) else {
        return Line { word: line, flags: Vec::new(), rest: "" };
    };
    let (flags, rest) = flags(rest, escape);
    Line { word, flags, rest: rest.trim() }
}

/// The characters between the words of an instruction.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Takes flags off the front of `line`, without their quotes and escapes. Two dashes alone end them.
fn flags(line: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (flag, after) = flag(rest, escape);
        rest = after;
        if flag == "--" {
            return (flags, rest);
        }
        flags.push(flag);
    }
}

fn flag(line: &str, escape: char) -> (String, &str) {
    let mut flag = String::new();
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => return (flag, &line[at..]),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) if c == escape => flag.extend(characters.next().map(|(_, escaped)| escaped)),
            (c, _) => flag.push(c),
        }
    }
    (flag, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_before_everything_else() {
        for (line, flags, rest) in [
            ("RUN x", vec![], "x"),
            ("RUN --a --b=c  x --d ", vec!["--a", "--b=c"], "x --d"),
            ("RUN --a=\"b c\" x", vec!["--a=b c"], "x"),
            ("RUN --a='b\"c'", vec!["--a=b\"c"], ""),
            ("RUN --a=b\\ c x", vec!["--a=b c"], "x"),
            ("RUN --a=\\", vec!["--a="], ""),
            ("RUN --a -- --b", vec!["--a"], "--b"),
            ("RUN -x", vec![], "-x"),
            ("RUN\t--ü=é x", vec!["--ü=é"], "x"),
            ("RUN", vec![], ""),
        ] {
            let found = split(line, '\\');
            assert_eq!(
                (found.word, found.flags, found.rest),
                ("RUN", flags.iter().map(|f| (*f).to_owned()).collect(), rest)
            );
        }
    }
}

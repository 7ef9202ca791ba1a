//! The lines of a Dockerfile.

/// One instruction: its word as it was written, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) name: String,
    pub(super) rest: String,
}

/// The instructions in `text`: comments and empty lines are left out, and a line that ends with a
/// backslash goes on in the next.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let mut instructions = Vec::new();
    let mut line = String::new();
    for part in text.lines() {
        let begun = !line.is_empty();
        let trimmed = part.trim_start();
        if trimmed.starts_with('#') || (begun && trimmed.is_empty()) {
            continue;
        }
        if let Some(continued) = part.trim_end().strip_suffix('\\') {
            line.push_str(if begun { continued } else { continued.trim_start() });
            continue;
        }
        line.push_str(part);
        instructions.extend(instruction(&std::mem::take(&mut line)));
    }
    instructions.extend(instruction(&line));
    instructions
}

fn instruction(line: &str) -> Option<Instruction> {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (name, rest) = (name.to_owned(), rest.trim_start().to_owned());
    (!name.is_empty()).then_some(Instruction { name, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        let found = instructions("\n# no\n  CMD a \\\n# no\n   b\nUSER\tx\nENV \\\n");
        let expect = |name: &str, rest: &str| Instruction { name: name.into(), rest: rest.into() };
        assert_eq!(found, [expect("CMD", "a    b"), expect("USER", "x"), expect("ENV", "")]);
    }
}

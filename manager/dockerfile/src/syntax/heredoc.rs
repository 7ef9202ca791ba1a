//! Documents that stand in a file after the instruction that they belong to.

use crate::error::{Error, Result};
use crate::shell::{Environment, Escapes, Expansion, Quotes, Unset};

/// A document, or the place in a line that says that one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// What ends it; as a file, it has this name.
    pub name: String,
    /// The descriptor that a shell would give it to.
    pub descriptor: u32,
    /// Variables in it are replaced: no part of its name is quoted.
    pub expand: bool,
    /// Tabs at the beginning of its lines are nothing (`<<-`).
    pub chomp: bool,
    /// Its text, as it is written.
    pub content: String,
}

impl Heredoc {
    /// Reads `<<name`, of whatever form.
    ///
    /// # Errors
    /// Quotes in the name that don't end.
    pub fn parse(word: &str) -> Result<Option<Self>> {
        let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (descriptor, rest) = word.split_at(digits);
        let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
        let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            return Ok(None);
        }
        let nothing = Environment::default();
        let plain = Expansion { unset: Unset::Kept, ..Expansion::new('\\') };
        let mut names = plain.expand(rest, &nothing)?.words;
        if names.len() > 1 {
            return Ok(None);
        }
        let Some(name) = names.pop() else { return Ok(None) };
        // Taking quotes off has changed the name if there were any.
        let with_quotes = Expansion { quotes: Quotes::Kept, ..plain }.expand(rest, &nothing)?.text;
        let expand = quotes(&name) == quotes(&with_quotes);
        let descriptor = descriptor.parse().unwrap_or(0);
        Ok(Some(Self { name, descriptor, expand, chomp, content: String::new() }))
    }

    /// The places in `line` that say that documents follow, in order.
    pub(super) fn in_line(line: &str) -> Result<Vec<Self>> {
        let raw = Expansion {
            escape: '\\',
            escapes: Escapes::Kept,
            quotes: Quotes::Kept,
            unset: Unset::Kept,
        };
        // A line that is wrong as a whole is for a shell to refuse.
        let Ok(found) = raw.expand(line, &Environment::default()) else { return Ok(Vec::new()) };
        let heredocs = found.words.iter().map(|word| Self::parse(word));
        Ok(heredocs.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Whether `line` ends the document.
    pub(super) fn ends_with(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = if self.chomp { line.trim_start_matches('\t') } else { line };
        line == self.name
    }

    /// The text, without what is not of it.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    pub(super) fn unterminated() -> Error {
        Error::new("unterminated heredoc")
    }
}

fn quotes(text: &str) -> usize {
    text.matches(['\'', '"']).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_documents_are_found() {
        let names = |line: &str| -> Vec<String> {
            Heredoc::in_line(line).unwrap().into_iter().map(|found| found.name).collect()
        };
        for (line, expected) in [
            ("RUN <<EOF", vec!["EOF"]),
            ("RUN cat << EOF > x", vec!["EOF"]),
            ("COPY <<a <<\"b c\" /x", vec!["a", "b c"]),
            ("RUN 3<<-EOF", vec!["EOF"]),
            ("RUN cat <<<word", vec![]),
            ("RUN echo '<<EOF'", vec![]),
            ("RUN echo it's <<EOF", vec![]),
            ("RUN a <<$X", vec!["$X"]),
            ("RUN x << ", vec![]),
        ] {
            assert_eq!(names(line), expected, "{line}");
        }
    }

    #[test]
    fn the_form_of_the_name_says_how_it_is_read() {
        let found = Heredoc::parse("3<<-'E\"F'").unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.descriptor), ("E\"F", 3));
        assert!(found.chomp && !found.expand && found.ends_with("\t\tE\"F\r\n"));
        assert!(Heredoc::parse("<<EOF").unwrap().unwrap().expand);
        assert!(Heredoc::parse("<<\"EOF").is_err());
        assert_eq!(Heredoc::parse("EOF").unwrap(), None);
        let text = Heredoc { content: "\t\ta\n b\n\tc".into(), ..found }.text();
        assert_eq!(text, "a\n b\nc");
    }
}

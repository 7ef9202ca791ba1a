//! Lines of a file, with some around them.

use tare_dockerfile::Lines;

use crate::error::SourceFile;

const RULE: &str = "--------------------\n";

/// The lines that are meant, and those around them, as `BuildKit` shows them.
pub(super) fn excerpt(file: &SourceFile, lines: Lines) -> String {
    let text = String::from_utf8_lossy(&file.text);
    let all: Vec<&str> = text.split('\n').collect();
    let (mut first, mut last) = (lines.first, lines.last.min(all.len()));
    if first < 1 || first > all.len() {
        return String::new();
    }
    let around = if first == last { 4 } else { 2 };
    let mut taken = 0;
    while taken < around {
        if first > 1 {
            first -= 1;
            taken += 1;
        }
        if last != all.len() {
            last += 1;
            taken += 1;
        }
        taken += 1;
    }
    let mut shown = format!("{}:{}\n{RULE}", file.name, lines.first);
    for (number, line) in all.iter().enumerate().take(last).skip(first - 1) {
        let number = number + 1;
        let mark = if (lines.first..=lines.last).contains(&number) { ">>>" } else { "   " };
        shown.push_str(&format!(" {number:>3} | {mark} {line}\n"));
    }
    shown + RULE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_with_some_around_them() {
        let file = SourceFile { name: "Dockerfile".to_owned(), text: b"a\nb\nc\nd\ne\nf".to_vec() };
        assert_eq!(
            excerpt(&file, Lines::one(3)),
            "Dockerfile:3\n--------------------\n   1 |     a\n   2 |     b\n   3 | >>> c\n   \
             4 |     d\n   5 |     e\n--------------------\n"
        );
        assert_eq!(
            excerpt(&file, Lines::new(1, 2)),
            "Dockerfile:1\n--------------------\n   1 | >>> a\n   2 | >>> b\n   3 |     \
             c\n--------------------\n"
        );
        assert_eq!(excerpt(&file, Lines::one(9)), "");
    }
}

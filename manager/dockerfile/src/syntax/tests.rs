//! Files and what is read from them.

use proptest::prelude::*;

use super::*;
use crate::error::Lines;

fn nodes(file: &str) -> Vec<Node> {
    parse(file.as_bytes()).unwrap().nodes
}

fn line(text: &str) -> Arguments {
    Arguments::Line(text.to_owned())
}

#[test]
fn continued_lines_are_one_and_comments_are_none() {
    let file = "# one\n\n#\n# two\nFROM a\nRUN b \\\n# no\n   c \\\n\n d\n\n  USER e\r\n";
    let document = parse(file.as_bytes()).unwrap();
    let [from, run, user] = document.nodes.as_slice() else { panic!("{document:?}") };
    assert_eq!(from.comments, ["two"]);
    assert_eq!((from.lines, run.lines), (Lines::one(5), Lines::new(6, 10)));
    assert_eq!(run.arguments, line("b    c  d"));
    assert_eq!((&user.arguments, user.lines), (&line("e"), Lines::one(12)));
    assert_eq!(document.empty_continuations, [Lines::one(10)]);
}

#[test]
fn the_escape_can_be_another() {
    let file = "\u{feff}# escape=`\r\nFROM x\r\nRUN dir c:\\ `\r\n  b\r\nCOPY a`\r\n";
    let document = parse(file.as_bytes()).unwrap();
    assert_eq!(document.escape, '`');
    assert_eq!(document.nodes[1].arguments, line("dir c:\\   b"));
    let error = parse(b"\n# x\n# escape=x\nFROM a\n# escape=`").unwrap();
    assert_eq!(error.escape, '\\', "a comment before it makes it one, too");
    let error = parse(b"# escape=x\nFROM a").unwrap_err();
    assert_eq!(error.in_file("d"), "d:1: invalid escape token 'x' does not match ` or \\");
}

#[test]
fn arguments_are_taken_apart_by_instruction() {
    let words = |words: &[&str]| Arguments::Words(words.iter().map(|w| (*w).to_owned()).collect());
    let list = |words: &[&str]| Arguments::List(words.iter().map(|w| (*w).to_owned()).collect());
    for (text, expected) in [
        ("COPY a  b", words(&["a", "b"])),
        ("COPY [\"a b\", \"c\"]", list(&["a b", "c"])),
        ("RUN [ -f x ] && y", line("[ -f x ] && y")),
        ("CMD", Arguments::None),
        ("CMD []", list(&[])),
        ("ARG a b=\"c d\"", words(&["a", "b=\"c d\""])),
        ("MAINTAINER A <a@b>", line("A <a@b>")),
        ("NONSENSE x", Arguments::None),
        (
            "HEALTHCHECK --interval=5s CMD x y",
            Arguments::Check { kind: "CMD".into(), command: Box::new(line("x y")) },
        ),
        (
            "ENV a  b c",
            Arguments::Pairs(vec![Pair { name: "a".into(), value: "b c".into(), legacy: true }]),
        ),
    ] {
        assert_eq!(nodes(text)[0].arguments, expected, "{text}");
    }
    let Arguments::Pairs(pairs) = &nodes("LABEL a=b \"c d\"=e=f")[0].arguments else { panic!() };
    assert_eq!((pairs[1].name.as_str(), pairs[1].value.as_str()), ("\"c d\"", "e=f"));
}

#[test]
fn documents_follow_their_line() {
    let file =
        "FROM a\nRUN <<EOF cat <<-'X'\none\n\nEOF\n\ttwo\n\tX\nONBUILD RUN <<E\nx\nE\nUSER b";
    let found = nodes(file);
    let [first, second] = found[1].heredocs.as_slice() else { panic!("{found:?}") };
    assert_eq!((first.content.as_str(), first.expand), ("one\n\n", true));
    assert_eq!((second.content.as_str(), second.expand), ("\ttwo\n", false));
    assert_eq!(found[1].lines, Lines::new(2, 7));
    assert_eq!(found[2].heredocs[0].content, "x\n");
    assert_eq!(found[3].arguments, line("b"));
}

#[test]
fn what_is_wrong_has_its_lines() {
    for (file, line, expected) in [
        ("", 1, "file with no instructions"),
        ("# only\n\n", 2, "file with no instructions"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc: a line \"EOF\" ends it"),
        ("FROM a\n\nENV x", 3, "ENV must have two arguments"),
        ("ENV a=b c", 1, "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        (
            "CMD [\"a\", 1]",
            1,
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("# check=skip=a\n# check=skip=b", 2, "only one check parser directive can be used"),
    ] {
        let error = parse(file.as_bytes()).unwrap_err();
        assert_eq!(error.in_file("d"), format!("d:{line}: {expected}"));
    }
}

#[test]
fn triggers_in_triggers_are_not_gone_into() {
    let deep = "ONBUILD ".repeat(8000) + "RUN x";
    let found = nodes(&deep);
    let Arguments::Trigger(trigger) = &found[0].arguments else { panic!() };
    assert_eq!((trigger.keyword(), &trigger.arguments), (Some(Keyword::Onbuild), &Arguments::None));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _either = parse(&bytes);
        let _either = (frontend(&bytes), check(&bytes));
    }

    #[test]
    fn no_text_is_too_strange(
        lines in proptest::collection::vec(
            "(FROM|RUN|COPY|ENV|ONBUILD RUN|HEALTHCHECK|# escape=`|ARG|) ?[-=<\"'\\[\\]$\\\\a-cEOF ]{0,20}\\\\?",
            0..8,
        ),
    ) {
        let file = lines.join("\n");
        if let Ok(document) = parse(file.as_bytes()) {
            for node in document.nodes {
                prop_assert!(node.lines.first >= 1 && node.lines.last <= lines.len());
            }
        }
    }
}

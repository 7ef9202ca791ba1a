//! Words and what becomes of them.

use proptest::prelude::*;

use super::*;

fn environment() -> Environment {
    [("foo", "abcbaab"), ("bar", "value"), ("empty", ""), ("path", "/a/b.tar.gz"), ("sp", "x  y")]
        .into_iter()
        .collect()
}

fn expand(word: &str) -> Result<String> {
    Expansion::new('\\').expand(word, &environment()).map(|found| found.text)
}

#[test]
fn variables_become_their_values() {
    for (word, expected) in [
        ("$bar", "value"),
        ("${bar}s", "values"),
        ("$bars", ""),
        ("a$", "a$"),
        ("$$x", "x"),
        ("$/x", "$/x"),
        ("\\$bar", "$bar"),
        ("'$bar'", "$bar"),
        ("\"$bar\"", "value"),
        ("\"\\$bar\\\"\\\\\\n\"", "$bar\"\\\\n"),
        ("a\\", "a"),
        ("$1", ""),
        ("${bar:-x}", "value"),
        ("${none:-x}", "x"),
        ("${empty:-x}", "x"),
        ("${empty-x}", ""),
        ("${none-${bar}}", "value"),
        ("${bar:+x}", "x"),
        ("${empty:+x}", ""),
        ("${empty+x}", "x"),
        ("${none+x}", ""),
        ("${bar?x}", "value"),
        ("${none:-'a}'}", "a}"),
        ("${none:-a\\}b}", "a}b"),
    ] {
        assert_eq!(expand(word).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn values_are_trimmed_and_replaced_by_patterns() {
    for (word, expected) in [
        ("${path#*/}", "a/b.tar.gz"),
        ("${path##*/}", "b.tar.gz"),
        ("${path%.*}", "/a/b.tar"),
        ("${path%%.*}", "/a/b"),
        ("${foo#a*b}", "cbaab"),
        ("${foo##a*b}", ""),
        ("${foo%a*b}", "abcba"),
        ("${foo%%a*b}", ""),
        ("${foo#?}", "bcbaab"),
        ("${foo#x}", "abcbaab"),
        ("${foo/a/X}", "Xbcbaab"),
        ("${foo//a/X}", "XbcbXXb"),
        ("${foo//[ab]/X}", "abcbaab"),
        ("${foo/c*/}", "ab"),
        ("${path//\\//-}", "-a-b.tar.gz"),
        ("${none/a/b}", ""),
    ] {
        assert_eq!(expand(word).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn what_is_wrong_is_said_as_buildkit_says_it() {
    for (word, expected) in [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${a:-x", "syntax error: missing '}'"),
        ("${a/b}", "syntax error: missing '/' in ${}"),
        ("${a/b/c", "syntax error: missing '}'"),
        ("${bar:#x}", "unsupported modifier (:#) in substitution"),
        ("${bar^}", "unsupported modifier (^) in substitution"),
        ("${bar#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
        ("${none?}", "none: is not allowed to be unset"),
        ("${none:?why $bar}", "none: why value"),
        ("${empty:?}", "empty: is not allowed to be empty"),
    ] {
        let expected = format!("failed to process {}: {expected}", quoted(word));
        assert_eq!(expand(word).unwrap_err().to_string(), expected);
    }
}

#[test]
fn words_end_at_spaces_outside_of_quotes() {
    for (word, expected) in [
        ("a b", vec!["a", "b"]),
        ("$sp", vec!["x", "y"]),
        ("\"$sp\" 'a b'", vec!["x  y", "a b"]),
        ("a\\ b", vec!["a b"]),
        ("80${none:-80}", vec!["8080"]),
        ("cat << EOF <<x", vec!["cat", "<< EOF", "<<x"]),
        (" < a", vec!["<", "a"]),
    ] {
        let found = Expansion::new('\\').expand(word, &environment()).unwrap();
        assert_eq!(found.words, expected, "{word}");
    }
}

#[test]
fn what_is_not_set_can_stay() {
    let kept = Expansion { unset: Unset::Kept, quotes: Quotes::Kept, ..Expansion::new('\\') };
    for (word, expected) in [
        ("$none ${none} $bar", "$none ${none} value"),
        ("${none:-x} '$bar' \"$bar\"", "${none:-x} '$bar' \"value\""),
        ("${none#x} ${none/a/b}", "${none#x} ${none/a/b}"),
    ] {
        assert_eq!(kept.expand(word, &environment()).unwrap().text, expected);
    }
}

#[test]
fn documents_have_no_quotes() {
    let found = Expansion::of_document().expand("it's \"$bar\" \\$x\n", &environment()).unwrap();
    assert_eq!(found.text, "it's \"value\" $x\n");
}

#[test]
fn which_variables_were_met_is_told() {
    let found = Expansion::new('`').expand("$bar${none:-$foo}`$x", &environment()).unwrap();
    assert!(found.used.iter().eq(["bar", "foo"]) && found.missing.iter().eq(["none"]), "{found:?}");
}

#[test]
fn bombs_are_refused() {
    let long: Environment = [("a", "x".repeat(1000))].into_iter().collect();
    let word = "$a".repeat(2000);
    assert!(Expansion::new('\\').expand(&word, &long).is_err());
    let all = Environment::from_iter([("a", "x".repeat(9000))]);
    let word = format!("${{a//x/{}}}", "y".repeat(1000));
    assert!(Expansion::new('\\').expand(&word, &all).is_err());
    assert!(expand(&"${a:-".repeat(100_000)).is_err());
}

proptest! {
    #[test]
    fn no_word_is_too_strange(word in "[$\\{\\}:\\-+?#%/\\\\'\"<*a-c \\PC]{0,40}") {
        for quotes in [Quotes::Removed, Quotes::Kept, Quotes::Plain] {
            let rules = Expansion { quotes, ..Expansion::new('\\') };
            let _either = rules.expand(&word, &environment());
        }
    }

    #[test]
    fn plain_words_stay(word in "[a-zA-Z0-9./_=:,-]{0,40}") {
        prop_assert_eq!(expand(&word), Ok(word));
    }
}

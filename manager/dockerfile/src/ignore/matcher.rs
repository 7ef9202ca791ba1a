//! Patterns together: the last one that is about a path decides.

use super::pattern::Pattern;
use crate::error::{Error, Result};
use crate::text::path;

/// The most patterns that there may be.
const MOST: usize = 10_000;

/// Patterns in order.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

/// Which patterns are about a directory: they are about all that is in it, too.
#[derive(Debug, Clone, Default)]
pub struct Parent {
    matched: Vec<bool>,
}

impl Matcher {
    /// Takes patterns as [`super::patterns`] reads them.
    ///
    /// # Errors
    /// One that means nothing, by its text.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut matcher = Self::default();
        for written in patterns {
            let clean = written.as_ref().trim();
            if clean.is_empty() {
                continue;
            }
            let clean = path::clean(clean);
            let (exception, text) = match clean.strip_prefix('!') {
                Some("") => return Err(Error::new("illegal exclusion pattern: \"!\"")),
                Some(text) => (true, text),
                None => (false, clean.as_str()),
            };
            let pattern = Pattern::new(text, exception).map_err(|error| error.during(text))?;
            if matcher.patterns.len() == MOST {
                return Err(Error::new(format!("there are more than {MOST} patterns")));
            }
            matcher.patterns.push(pattern);
        }
        Ok(matcher)
    }

    /// Whether there are patterns at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether some patterns take back what others say.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether the file or directory at `path` is left out, for itself or with one that it is in.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        let mut ignored = false;
        for pattern in &self.patterns {
            if pattern.exception == ignored && about(pattern, path) {
                ignored = !pattern.exception;
            }
        }
        ignored
    }

    /// The same on the way down a tree: `parent` is what was found for the directory that it is in,
    /// and none for the top.
    #[must_use]
    pub fn ignores_in(&self, path: &str, parent: &Parent) -> (bool, Parent) {
        let mut ignored = false;
        let mut found = Parent { matched: vec![false; self.patterns.len()] };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.matched.get(index).copied().unwrap_or(false);
            let matched = inherited || (pattern.exception == ignored && pattern.matches(path));
            found.matched[index] = matched;
            if matched {
                ignored = !pattern.exception;
            }
        }
        (ignored, found)
    }

    /// Whether nothing in an ignored directory can be taken back, so that nobody has to look.
    #[must_use]
    pub fn can_skip(&self, directory: &str) -> bool {
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.exception);
        !exceptions.any(|pattern| pattern.may_match_in(directory))
    }

    /// Whether everything in the context is left out, as far as that can be told from patterns
    /// alone.
    pub(crate) fn leaves_nothing(&self) -> bool {
        let whole = |pattern: &&Pattern| matches!(pattern.text.as_str(), "*" | "**" | "**/*");
        self.patterns.iter().filter(|pattern| !pattern.exception).any(|pattern| whole(&pattern))
    }
}

fn about(pattern: &Pattern, path: &str) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    pattern.matches(path) || above.into_iter().any(|directory| pattern.matches(directory))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ignores(patterns: &[&str], path: &str) -> bool {
        Matcher::new(patterns).unwrap().ignores(path)
    }

    #[test]
    fn patterns_match_as_mobys_do() {
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("dir/**", "dir2/file", false),
            ("**/dir", "dir/file", true),
            ("**/file", "dir/file", true),
            ("**/file", "xfile", false),
            ("**file", "dir/xfile", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "dir/dir", false),
            ("*", "a", true),
            ("*", ".a", true),
            ("*.txt", "a/b.txt", false),
            ("a/*.txt", "a/b.txt", true),
            ("*/*.txt", "a/b.txt", true),
            ("a", "a/b/c", true),
            ("a/b", "a", false),
            ("a?c", "a/c", false),
            ("a?c", "aüc", true),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "ae", false),
            ("a[^b-d]e", "aze", true),
            ("a[^b-d]e", "a/e", true),
            ("a[d-b]e", "ace", false),
            ("a[[x]e", "a[e", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a.b", "axb", false),
            ("a(b)|c+{1}$^", "a(b)|c+{1}$^", true),
            ("*(b)|c+{1}$^", "a(b)|c+{1}$^", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "axb", false),
            (".hidden", ".hidden", true),
            ("/a/../b", "b", false),
        ] {
            assert_eq!(ignores(&[pattern], path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_pattern_about_a_path_decides() {
        for (patterns, path, expected) in [
            (&["*", "!a"][..], "a", false),
            (&["*", "!a", "a"], "a", true),
            (&["dir", "!dir/keep"], "dir/keep/x", false),
            (&["dir", "!dir/keep", "dir/keep/x"], "dir/keep/x", true),
            (&["!a", "*"], "a", true),
            (&["**", "!**/*.md", "README.md"], "d/README.md", false),
            (&["**", "!**/*.md", "README.md"], "README.md", true),
            (&[" ", ""], "a", false),
        ] {
            assert_eq!(ignores(patterns, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for wrong in ["!", "[", "a[", "[]a]", "[-]", "[a-]", "[x", "a\\", "[^]"] {
            assert!(Matcher::new([wrong]).is_err(), "{wrong}");
        }
        assert!(Matcher::new(std::iter::repeat_n("a*", MOST + 1)).is_err());
        assert_eq!(
            Matcher::new(["!"]).unwrap_err().to_string(),
            "illegal exclusion pattern: \"!\""
        );
    }

    #[test]
    fn directories_that_nothing_is_taken_back_from_are_skipped() {
        let matcher = Matcher::new(["*", "!src/main", "!docs/*.md"]).unwrap();
        assert!(matcher.has_exceptions() && matcher.can_skip("target") && matcher.leaves_nothing());
        for directory in ["src", "src/main", "src/main/deep", "docs", "docs/x"] {
            assert!(!matcher.can_skip(directory), "{directory}");
        }
        assert!(matcher.can_skip("src/test"));
        assert!(!Matcher::new(["a", "!**/x"]).unwrap().can_skip("a"));
    }

    proptest! {
        #[test]
        fn going_down_a_tree_finds_the_same(
            patterns in proptest::collection::vec("!?[ab*?/\\[\\]^-]{1,8}", 0..6),
            path in "[ab](/[ab]){0,4}",
        ) {
            if let Ok(matcher) = Matcher::new(&patterns) {
                let mut parent = Parent::default();
                let mut ignored = false;
                for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
                    (ignored, parent) = matcher.ignores_in(&path[..at], &parent);
                }
                // A pattern that was not asked about a directory, since nothing had been ignored
                // that it could take back, is not asked again by the shorter way.
                if !matcher.has_exceptions() {
                    prop_assert_eq!(ignored, matcher.ignores(&path));
                }
                if ignored && matcher.can_skip(&path) {
                    let below = format!("{path}/a");
                    prop_assert!(matcher.ignores_in(&below, &parent).0);
                }
            }
        }

        #[test]
        fn no_file_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(patterns) = super::super::patterns(&bytes) {
                let _either = Matcher::new(&patterns).map(|matcher| matcher.ignores("a/b"));
            }
        }
    }
}

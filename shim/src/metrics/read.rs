//! The shapes that files of cgroups have.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The number in a file; "max" is the largest there is. `None` where there is no such file.
pub(super) fn number(cgroup: &Path, file: &str) -> Option<u64> {
    parse(fs::read_to_string(cgroup.join(file)).ok()?.trim())
}

/// Lines of a name and a number each.
pub(super) fn flat(cgroup: &Path, file: &str) -> HashMap<String, u64> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), parse(value.trim())?))
    };
    text.lines().filter_map(pair).collect()
}

/// Lines of a device (`major:minor`) and words.
pub(super) fn by_device(cgroup: &Path, file: &str) -> Vec<(u64, u64, Vec<String>)> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?, words.map(str::to_owned).collect()))
    };
    text.lines().filter_map(line).collect()
}

/// The sizes of huge pages that a cgroup counts, as they stand in names of files: `2MB`.
pub(super) fn huge_page_sizes(cgroup: &Path, file: &str) -> Vec<String> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let size = |name: &str| {
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(file)?.strip_suffix('.')?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let mut sizes: Vec<_> = entries.filter_map(|entry| size(entry.file_name().to_str()?)).collect();
    sizes.sort();
    sizes
}

/// Lines of a device's name and `name=number` words, as rdma's files have them.
pub(super) fn by_name(cgroup: &Path, file: &str) -> Vec<(String, HashMap<String, u64>)> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), assignments(words)))
    };
    text.lines().filter_map(line).collect()
}

/// Words such as `rbytes=1`.
pub(super) fn assignments<'a>(words: impl Iterator<Item = &'a str>) -> HashMap<String, u64> {
    let assignment = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), parse(value)?))
    };
    words.filter_map(assignment).collect()
}

fn parse(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

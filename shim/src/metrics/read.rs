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

/// What is used of one rdma device, or may be.
pub(super) struct Rdma {
    pub(super) device: String,
    pub(super) hca_handles: u32,
    pub(super) hca_objects: u32,
}

/// Lines of an rdma device's name and `name=number` words.
pub(super) fn rdma_devices(cgroup: &Path, file: &str) -> Vec<Rdma> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let device = words.next()?.to_owned();
        let values = assignments(words);
        let get = |name: &str| {
            let value = values.get(name).copied().unwrap_or_default();
            u32::try_from(value).unwrap_or(u32::MAX)
        };
        Some(Rdma { device, hca_handles: get("hca_handle"), hca_objects: get("hca_object") })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rdma_device_has_a_line() {
        let cgroup = tempfile::tempdir().unwrap();
        let text = "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n";
        fs::write(cgroup.path().join("rdma.current"), text).unwrap();
        let devices = rdma_devices(cgroup.path(), "rdma.current");
        let seen: Vec<_> =
            devices.iter().map(|d| (d.device.as_str(), d.hca_handles, d.hca_objects)).collect();
        assert_eq!(seen, [("mlx4_0", 2, 2000), ("ocrdma1", 3, u32::MAX)]);
    }
}

//! Limits of huge pages: the same on v1 and v2 but for the names of the files.

use std::path::Path;

use oci_spec::runtime::LinuxHugepageLimit;

use super::file;
use crate::error::{Error, Result};

/// Sets `hugetlb.SIZE.SUFFIX` and, where the kernel has it, the limit of reservations beside it.
pub(super) fn limit(
    directory: &Path,
    limits: Option<&[LinuxHugepageLimit]>,
    suffix: &str,
) -> Result<()> {
    for limit in limits.unwrap_or_default() {
        let size = limit.page_size();
        if !is_size(size) {
            return Err(Error::invalid(format!(
                "invalid hugepageLimits pageSize {size:?}: write it like 2MB or 1GB"
            )));
        }
        let value = limit.limit().to_string();
        file::write(directory, &format!("hugetlb.{size}.{suffix}"), &value)?;
        file::write_if_there(directory, &format!("hugetlb.{size}.rsvd.{suffix}"), &value)?;
    }
    Ok(())
}

/// The name of a file of the controller, if `size` is a size.
pub(super) fn file_name(size: &str, suffix: &str) -> Option<String> {
    is_size(size).then(|| format!("hugetlb.{size}.{suffix}"))
}

/// Whether `text` is a size as the kernel names it, and so safe in a file name.
fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_uppercase());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(unit, "KB" | "MB" | "GB")
}

/// The sizes of huge pages that this kernel has, as cgroup files name them.
pub(super) fn sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut sizes: Vec<String> = entries
        .flatten()
        .filter_map(|entry| size_of_directory(entry.file_name().to_str()?))
        .collect();
    sizes.sort();
    sizes
}

/// `hugepages-2048kB` is called `2MB` in file names of cgroups.
fn size_of_directory(name: &str) -> Option<String> {
    let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        0..1024 => format!("{kilobytes}KB"),
        1024..1_048_576 => format!("{}MB", kilobytes >> 10),
        _ => format!("{}GB", kilobytes >> 20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_the_kernel_names_them() {
        for (directory, size) in [
            ("hugepages-64kB", Some("64KB")),
            ("hugepages-2048kB", Some("2MB")),
            ("hugepages-1048576kB", Some("1GB")),
            ("hugepages-x", None),
            ("other", None),
        ] {
            assert_eq!(size_of_directory(directory).as_deref(), size, "{directory}");
        }
    }

    #[test]
    fn a_size_never_leads_to_another_file() {
        assert!(is_size("2MB"));
        for text in ["", "MB", "2", "2mb", "2MB/..", "../x", "2 MB", "2MBGB"] {
            assert!(!is_size(text), "{text:?}");
        }
    }
}

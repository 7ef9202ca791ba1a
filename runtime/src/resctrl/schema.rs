//! The lines of a group's `schemata`, such as `L3:0=ff;1=f`.

use crate::error::{Error, Result};
use oci_spec::runtime::LinuxIntelRdt;

/// The lines to write, in their order: a later one overrides an earlier one.
pub(super) fn lines(settings: &LinuxIntelRdt) -> Result<Vec<&str>> {
    let named = [settings.l3_cache_schema(), settings.mem_bw_schema()];
    let lines: Vec<&str> = named
        .into_iter()
        .filter_map(|line| line.as_deref())
        .chain(settings.schemata().iter().flatten().map(String::as_str))
        .filter(|line| !line.is_empty())
        .collect();
    check_lines(&lines)?;
    match settings.mem_bw_schema().as_deref() {
        Some(line) if !line.is_empty() && !line.starts_with("MB:") => {
            Err(Error::invalid(format!("intelRdt: memBwSchema {line:?} does not start with MB:")))
        }
        _ => Ok(lines),
    }
}

/// Refuses what would be several lines.
pub(super) fn check_lines(lines: &[&str]) -> Result<()> {
    match lines.iter().find(|line| line.contains('\n')) {
        Some(line) => Err(Error::invalid(format!("intelRdt: schema {line:?} contains a newline"))),
        None => Ok(()),
    }
}

/// Refuses a class that is there, with the schemata `present`, and is not what the bundle takes it
/// for.
pub(super) fn check_present(settings: &LinuxIntelRdt, present: &str) -> Result<()> {
    let named = [settings.l3_cache_schema(), settings.mem_bw_schema()];
    for wanted in named.into_iter().flatten().filter(|line| !line.is_empty()) {
        let found = present.lines().any(|line| covers(line, wanted));
        if !found {
            return Err(Error::invalid(format!(
                "intelRdt: {wanted:?} does not match the schemata of the class that is there: \
                 {present:?}"
            )));
        }
    }
    Ok(())
}

/// Whether the line `present` gives each domain of `wanted` the value that it has there.
fn covers(present: &str, wanted: &str) -> bool {
    let (Some((kind, present)), Some((wanted_kind, wanted))) =
        (present.split_once(':'), wanted.split_once(':'))
    else {
        return false;
    };
    let present: Vec<_> = domains(present).collect();
    kind.trim() == wanted_kind.trim() && domains(wanted).all(|domain| present.contains(&domain))
}

/// The domains of a line and their values, without the zeros and spaces that the kernel aligns
/// them by.
fn domains(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split(';').filter_map(|domain| {
        let (id, value) = domain.split_once('=')?;
        let value = value.trim().to_ascii_lowercase();
        Some((id.trim(), value.trim_start_matches('0').to_owned()))
    })
}

//! `ps`: show a container's processes.

use super::list::Format;
use super::{Global, streams};
use crate::container::Container;
use crate::error::{Context, Error, Kind, Result};
use std::process::Command;

/// ps displays the processes running inside a container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// select one of: table or json
    #[arg(long, short, value_enum, default_value = "table")]
    format: Format,
    /// the container's id
    container_id: String,
    /// options for ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let pids = Container::open(&global.root, &arguments.container_id)?.processes()?;
    if arguments.format == Format::Json {
        return match pids.is_empty() {
            true => streams::print("null\n"),
            false => streams::print_json_line(&pids),
        };
    }
    let mut ps = Command::new("ps");
    match arguments.options.as_slice() {
        [] => ps.arg("-ef"),
        options => ps.args(options),
    };
    let output = ps.output().context(|| "exec ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::new(Kind::System, format!("{}: {}", output.status, said.trim_end())));
    }
    streams::print(&only(&String::from_utf8_lossy(&output.stdout), &pids)?)
}

/// The lines of ps whose process is one of `pids`, below the heading.
fn only(table: &str, pids: &[u32]) -> Result<String> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::invalid("couldn't find PID field in ps output"))?;
    let kept = lines.filter(|line| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    });
    Ok(std::iter::once(head).chain(kept).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_lines_are_shown() {
        let table = "UID   PID CMD\nroot    1 init\nroot   12 sh\n";
        assert_eq!(only(table, &[12]).unwrap(), "UID   PID CMD\nroot   12 sh\n");
        assert!(only("CMD\n", &[1]).is_err());
    }
}

//! The processes of a container as the host's `ps` shows them.

use std::sync::Arc;

use tokio::process::Command;

use super::id::ContainerId;
use super::options::Top;
use super::{Containers, announce};
use crate::error::{Error, Result};

/// What `ps` is asked for unless told otherwise.
const DEFAULT_ARGUMENTS: &str = "-ef";

impl Containers {
    /// Lists a container's processes; `arguments` are those of `ps`.
    ///
    /// # Errors
    /// Conflict if it doesn't run; invalid or system for what `ps` says of its arguments.
    pub async fn top(self: &Arc<Self>, id: &ContainerId, arguments: &str) -> Result<Top> {
        let arguments = if arguments.is_empty() { DEFAULT_ARGUMENTS } else { arguments };
        check(arguments)?;
        let entry = self.index.get(id)?;
        let pids = entry.shim()?.pids().await?;
        let arguments: Vec<&str> = arguments.split_ascii_whitespace().collect();
        let listed: Vec<String> = pids.iter().map(u32::to_string).collect();
        let only = format!("-q{}", listed.join(","));
        let with_only: Vec<&str> = arguments.iter().copied().chain([only.as_str()]).collect();
        let table = match ps(&with_only).await {
            Ok(table) => table,
            // Some arguments can't stand beside -q; then the rows are picked here.
            Err(_) => ps(&arguments).await?,
        };
        let top = pick(&table, &pids)?;
        announce::announce(&self.events, &entry.container(), "top");
        Ok(top)
    }
}

async fn ps(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ps")
        .args(arguments)
        .output()
        .await
        .map_err(|error| Error::io("run ps (package procps)", error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::system(format!("ps: {}", said.lines().next().unwrap_or_default())))
}

/// Refuses arguments that give another column the name PID: the rows are picked by it.
fn check(arguments: &str) -> Result<()> {
    for word in arguments.split_ascii_whitespace() {
        if let Some((column, title)) = word.split_once('=')
            && title.trim_start().starts_with("PID")
            && column != "pid"
        {
            return Err(Error::invalid(format!("specifying \"{column}={title}\" is not allowed")));
        }
    }
    Ok(())
}

/// The rows of `table` whose process is one of `pids`. The last column has what is left of a row.
fn pick(table: &str, pids: &[u32]) -> Result<Top> {
    let mut lines = table.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::system("Couldn't find PID field in ps output"))?;
    let mut processes = Vec::new();
    let mut mine = false;
    for line in lines.filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let pid = fields.get(column).copied().unwrap_or_default();
        // A thread's row has no pid of its own and belongs to the process above.
        if pid != "-" {
            let number: u32 = pid
                .parse()
                .map_err(|error| Error::system(format!("Unexpected pid '{pid}': {error}")))?;
            mine = pids.contains(&number);
        }
        if mine {
            processes.push(row(&fields, titles.len()));
        }
    }
    Ok(Top { titles, processes })
}

fn row(fields: &[&str], columns: usize) -> Vec<String> {
    let (own, rest) = fields.split_at(fields.len().min(columns.saturating_sub(1)));
    let mut row: Vec<String> = own.iter().map(|&field| field.to_owned()).collect();
    row.push(rest.join(" "));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_picked_by_pid_and_the_last_column_takes_the_rest() {
        let table = "UID PID CMD\nroot 1 init\nroot 7 sh -c sleep  1\n- - \nroot 70 x\n";
        let top = pick(table, &[7]).unwrap();
        assert_eq!(top.titles, ["UID", "PID", "CMD"]);
        assert_eq!(top.processes[0], ["root", "7", "sh -c sleep 1"]);
        assert_eq!(top.processes.len(), 2);
        assert!(pick("UID CMD\n", &[7]).is_err());
    }

    #[test]
    fn another_column_may_not_be_called_pid() {
        assert!(check("-eo user=PID").is_err());
        assert!(check("-eo pid=PID").is_ok());
        assert!(check("aux").is_ok());
    }
}

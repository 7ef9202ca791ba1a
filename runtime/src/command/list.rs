//! `list`: show all containers.

use super::{Global, streams};
use crate::container::record::Listing;
use crate::container::{Container, store};
use crate::error::Result;
use crate::log::Level;
use std::fmt::Write;

/// lists containers started with the given root
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// select one of: table or json
    #[arg(long, short, value_enum, default_value = "table")]
    format: Format,
    /// display only container IDs
    #[arg(long, short)]
    quiet: bool,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let listed = listings(global)?;
    if arguments.quiet {
        return streams::print(
            &listed.iter().map(|one| format!("{}\n", one.id)).collect::<String>(),
        );
    }
    match arguments.format {
        Format::Table => streams::print(&table(&listed)),
        Format::Json if listed.is_empty() => streams::print("null\n"),
        Format::Json => streams::print_json_line(&listed),
    }
}

fn listings(global: &Global) -> Result<Vec<Listing>> {
    let found = match store::list(&global.root) {
        // Nothing was ever created.
        Err(error) if error.errno() == Some(libc::ENOENT) && !global.root_is_given => Vec::new(),
        other => other?,
    };
    let mut listed = Vec::new();
    for (id, owner) in found {
        let shown = Container::open(&global.root, id.as_str()).and_then(|container| {
            let status = container.status()?;
            Ok(container.into_record().listing(status, user_name(owner)))
        });
        match shown {
            Ok(listing) => listed.push(listing),
            Err(error) => {
                global.log.write(Level::Warning, &format!("load container {id}: {error}"))
            }
        }
    }
    Ok(listed)
}

fn user_name(uid: u32) -> String {
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => user.name,
        _ => format!("#{uid}"),
    }
}

/// Columns as wide as their widest entry, at least 12, and three blanks between them.
fn table(listed: &[Listing]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head)
        .chain(listed.iter().map(|one| {
            [
                one.id.clone(),
                one.pid.to_string(),
                one.status.clone(),
                one.bundle.display().to_string(),
                one.created.clone(),
                one.owner.clone(),
            ]
        }))
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (column, entry) in row.iter().enumerate() {
            let widest = rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
            let width = widest.unwrap_or(0).max(9) + 3;
            // Writing to a string does not fail.
            let _ = match column + 1 == row.len() {
                true => writeln!(text, "{entry}"),
                false => write!(text, "{entry:width$}"),
            };
        }
    }
    text
}

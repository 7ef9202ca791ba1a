//! `--add-host`: names with their addresses.

use std::net::IpAddr;

use tare_dockerfile::csv_fields;

use crate::error::{Error, Result};

/// Reads `name=address` between commas.
pub(super) fn parse(said: Option<&String>) -> Result<Vec<(String, IpAddr)>> {
    let Some(said) = said else { return Ok(Vec::new()) };
    let failed = |what: String| Error::invalid(format!("failed to parse additional hosts: {what}"));
    let fields = csv_fields(said).map_err(failed)?;
    let read = |field: &String| {
        let field = field.to_lowercase();
        let (name, address) = field
            .split_once('=')
            .ok_or_else(|| failed(format!("invalid key-value pair {field}")))?;
        let address =
            address.parse().map_err(|_| failed(format!("failed to parse IP {address}")))?;
        Ok((name.to_owned(), address))
    };
    fields.iter().map(read).collect()
}

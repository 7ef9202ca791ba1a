//! `POST /containers/{id}/resize`

use std::num::{IntErrorKind, ParseIntError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::container::TerminalSize;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let size = size(&query)?;
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.resize(&container.id, size).await?;
    Ok(StatusCode::OK)
}

/// `?h=24&w=80`
pub(crate) fn size(query: &Query) -> Result<TerminalSize> {
    let number = |name: &str, what: &str| {
        let text = query.text(name).unwrap_or_default();
        text.parse().map_err(|error: ParseIntError| {
            let why = match error.kind() {
                IntErrorKind::PosOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Error::invalid(format!("invalid resize {what} {text:?}: {why}"))
        })
    };
    Ok(TerminalSize { height: number("h", "height")?, width: number("w", "width")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::query;

    #[test]
    fn both_sides_must_be_numbers() {
        let size = size(&query("h=24&w=80")).unwrap();
        assert_eq!((size.height, size.width), (24, 80));
        let error = super::size(&query("h=24&w=x")).unwrap_err().to_string();
        assert_eq!(error, "invalid resize width \"x\": invalid syntax");
        assert!(super::size(&query("w=80")).is_err());
        let error = super::size(&query("h=4294967296&w=1")).unwrap_err().to_string();
        assert_eq!(error, "invalid resize height \"4294967296\": value out of range");
    }
}

//! Commands of runc that this program does not have yet.

use crate::error::{Error, Result};

/// Whatever they are given.
#[derive(Debug, clap::Args)]
#[command(hide = true, disable_help_flag = true)]
pub(super) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<String>,
}

/// Says so.
pub(super) fn refuse(name: &str) -> Result<()> {
    Err(Error::unsupported(format!("{name} is not supported")))
}

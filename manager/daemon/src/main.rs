//! `tared`: images, containers and networks behind the Docker Engine API.
//!
//! The story of this program: read the settings, build the parts, serve, wait for a signal, let the
//! requests that are under way end. Containers go on; the next `tared` takes them over.

mod check;
mod claim;
mod error;
mod listen;
mod log;
#[cfg(test)]
mod manual;
mod notify;
mod options;
mod reload;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use error::Error;
use options::{Command, Options};
use settings::Settings;

fn main() -> ExitCode {
    // Layers are unpacked by this same program, in processes that do nothing else.
    if let Some(code) = tare_core::snapshot::run_if_unpacker() {
        return code;
    }
    // And so are names answered.
    if let Some(code) = tare_core::network::run_if_resolver() {
        return code;
    }
    let options = Options::parse();
    match run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tared: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode, Error> {
    let Options { given, config_file, validate, command } = options;
    let settings = settings::gather(given.clone(), config_file.as_deref())?;
    let settings = Settings::from_given(settings)?;
    match command {
        Some(Command::Check { format }) => Ok(check::check(&settings.config, format)),
        None if validate => {
            eprintln!("configuration OK");
            Ok(ExitCode::SUCCESS)
        }
        None => serve::serve(settings, given, config_file),
    }
}

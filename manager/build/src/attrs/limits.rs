//! `--shm-size` and `--ulimit`.

use tare_core::container::Ulimit;
use tare_dockerfile::csv_fields;

use crate::error::{Error, Result};

pub(super) fn shm_size(said: Option<&String>) -> Result<u64> {
    let Some(said) = said else { return Ok(0) };
    said.parse().map_err(|_| {
        Error::invalid(format!(
            "failed to parse shm size: strconv.ParseInt: parsing {said:?}: invalid syntax"
        ))
    })
}

/// Reads `name=soft[:hard]` between commas.
pub(super) fn ulimits(said: Option<&String>) -> Result<Vec<Ulimit>> {
    let Some(said) = said else { return Ok(Vec::new()) };
    let failed = |what: String| Error::invalid(format!("failed to parse ulimit: {what}"));
    let fields = csv_fields(said).map_err(failed)?;
    fields.iter().map(|field| ulimit(field).map_err(failed)).collect()
}

fn ulimit(text: &str) -> Result<Ulimit, String> {
    let invalid = || format!("invalid ulimit argument: {text}");
    let (name, values) = text.split_once('=').ok_or_else(invalid)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| invalid());
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    let limit = Ulimit { name: name.to_owned(), soft, hard };
    limit.check().map_err(|error| error.to_string())?;
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        assert_eq!(ulimit("nproc=5").unwrap().hard, 5);
        assert_eq!(ulimit("nproc=5:-1").unwrap().hard, -1);
        for wrong in ["nproc", "nproc=", "nproc=a", "nproc=5:3", "nproc=-1:3", "what=1"] {
            assert!(ulimit(wrong).is_err(), "{wrong}");
        }
    }
}

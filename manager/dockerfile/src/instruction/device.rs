//! `RUN --device=...`.

use crate::error::{Error, Result};
use crate::text::{boolean, csv};

/// A device, by its name in the container device interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name: `vendor.com/class=device`.
    pub name: String,
    /// The command can't run without it.
    pub required: bool,
}

impl Device {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let fields = csv::fields(text)
            .map_err(|wrong| Error::new(format!("failed to parse csv devices: {wrong}")))?;
        let mut device = Self { name: String::new(), required: false };
        for field in fields {
            device.set(&field)?;
        }
        Ok(device)
    }

    fn set(&mut self, field: &str) -> Result<()> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let key = key.to_lowercase();
        match (key.as_str(), value) {
            ("required", None) => self.required = true,
            ("required", Some(value)) => {
                self.required = boolean(value)
                    .ok_or_else(|| Error::new(format!("invalid value for required: {value}")))?;
            }
            ("name", Some(_)) if !self.name.is_empty() => {
                return Err(Error::new(format!("device name already set to {}", self.name)));
            }
            ("name", Some(value)) => value.clone_into(&mut self.name),
            // A name has a `=` in it, too.
            _ if self.name.is_empty() => field.clone_into(&mut self.name),
            (_, None) => {
                let expected = format!("invalid field '{field}' must be a key=value pair");
                return Err(Error::new(expected));
            }
            (key, Some(_)) => {
                return Err(Error::new(format!("unexpected key '{key}' in '{field}'"))
                    .suggesting(key, ["name", "required"]));
            }
        }
        Ok(())
    }
}

//! The options of `-v` and `--volumes-from`: `ro,z`.

use super::mount::{BindSource, Propagation};
use crate::error::{Error, Result};

/// What a list of options comes to. Of each sort there may be one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) read_only: bool,
    pub(super) propagation: Option<Propagation>,
    pub(super) no_copy: bool,
}

impl Options {
    /// Reads options with commas between them; none at all is fine.
    ///
    /// # Errors
    /// Invalid for what is no option, and for two of one sort.
    pub(super) fn parse(mode: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("invalid mode: {mode}"));
        let mut options = Self::default();
        let [mut access, mut label, mut consistency] = [false; 3];
        let once =
            |seen: &mut bool| if std::mem::replace(seen, true) { Err(wrong()) } else { Ok(()) };
        for option in mode.split(',').filter(|_| !mode.is_empty()) {
            match option {
                "ro" | "rw" => {
                    once(&mut access)?;
                    options.read_only = option == "ro";
                }
                // Relabelling has no meaning without SELinux; consistency has none on Linux.
                "z" | "Z" => once(&mut label)?,
                "consistent" | "cached" | "delegated" => once(&mut consistency)?,
                "nocopy" => once(&mut options.no_copy)?,
                other => {
                    let propagation = other.parse().map_err(|_| wrong())?;
                    if options.propagation.replace(propagation).is_some() {
                        return Err(wrong());
                    }
                }
            }
        }
        Ok(options)
    }

    /// Reads those of `--volumes-from`: how mounts spread, and what is copied, is the donor's to say.
    pub(super) fn of_volumes_from(mode: &str) -> Result<Self> {
        let options = Self::parse(mode)?;
        if options.propagation.is_some() || options.no_copy {
            return Err(Error::invalid(format!("invalid mode: {mode}")));
        }
        Ok(options)
    }

    /// Whether what is at `source` can have them; what is wrong is said in docker's words.
    pub(super) fn check(&self, source: &BindSource) -> std::result::Result<(), String> {
        let misplaced = match source {
            BindSource::Path(_) if self.no_copy => "VolumeOptions",
            BindSource::Volume(_) | BindSource::Anonymous if self.propagation.is_some() => {
                "BindOptions"
            }
            _ => return Ok(()),
        };
        Err(format!("field {misplaced} must not be specified"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_sort_there_is_one() {
        let options = Options::parse("ro,z,rslave,cached").unwrap();
        assert!(options.read_only && !options.no_copy);
        assert_eq!(options.propagation, Some(Propagation::Rslave));
        assert_eq!(Options::parse("").unwrap(), Options::default());
        for wrong in ["ro,rw", "z,Z", "slave,rslave", "nocopy,nocopy", "x", "ro,"] {
            assert_eq!(
                Options::parse(wrong).unwrap_err().to_string(),
                format!("invalid mode: {wrong}")
            );
        }
    }

    #[test]
    fn a_donor_says_how_mounts_spread() {
        assert!(Options::of_volumes_from("ro,z").unwrap().read_only);
        assert!(Options::of_volumes_from("rslave").is_err());
        assert!(Options::of_volumes_from("nocopy").is_err());
    }
}

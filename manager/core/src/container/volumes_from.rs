//! `--volumes-from`: what other containers have mounted, for a new one.

use super::Containers;
use super::host_config::HostConfig;
use super::mount_mode::Options;
use super::record::{MountPoint, ReadOnlyReach};
use crate::error::{Error, Kind, Result};

impl Containers {
    /// What the donors that `host` names have mounted. Of two things at one place, the later donor's
    /// counts.
    ///
    /// # Errors
    /// Invalid for a donor that isn't there, and for options that make no sense.
    pub(super) fn donated(&self, host: &HostConfig) -> Result<Vec<MountPoint>> {
        let mut points = Vec::new();
        for text in host.volumes_from.iter().rev() {
            let (name, options) = parse(text)?;
            let donor = self.find(name).map_err(|error| match error.kind() {
                // Clients take "not found" here for a missing image.
                Kind::NotFound => Error::invalid(error.to_string()),
                _ => error,
            })?;
            points.extend(donor.shown_mounts().map(|point| MountPoint {
                writable: point.writable && !options.read_only,
                mode: String::new(),
                read_only: ReadOnlyReach::default(),
                ..point.clone()
            }));
        }
        Ok(points)
    }
}

/// Reads `donor[:options]`.
fn parse(text: &str) -> Result<(&str, Options)> {
    if text.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    Ok((name, Options::of_volumes_from(mode)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_donor_may_be_read_only() {
        assert!(!parse("web").unwrap().1.read_only);
        let (name, options) = parse("web:ro,z").unwrap();
        assert_eq!((name, options.read_only), ("web", true));
        assert!(parse("web:rshared").is_err());
        assert!(parse("").unwrap_err().to_string().contains("cannot be an empty string"));
    }
}

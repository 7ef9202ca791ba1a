//! What an export is asked for.

use std::collections::BTreeMap;

use tare_core::image::Reference;

use super::Exporter;
use super::annotations::Annotations;
use crate::error::{Error, Result};

/// What an export is asked for, as far as it is about images.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The names that the image gets.
    pub(super) names: Vec<Reference>,
    /// It is sent to the registry that its name names.
    pub(super) push: bool,
    /// It is sent without its tag.
    pub(super) push_by_digest: bool,
    /// It is kept here.
    pub(super) store: bool,
    pub(super) annotations: Annotations,
    pub(super) compression: Option<Compression>,
    /// What is compressed otherwise is compressed anew.
    pub(super) force_compression: bool,
    /// Manifests are OCI's, rather than docker's.
    pub(super) oci_types: Option<bool>,
    /// The time of all that is new, in seconds since 1970.
    pub(super) epoch: Option<i64>,
    /// Others find in the image what was built.
    pub(super) inline: bool,
    /// What is left, which is about archives and directories.
    pub(super) more: BTreeMap<String, String>,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Asked {
    pub(super) fn read(exporter: &Exporter, epoch: Option<i64>) -> Result<Self> {
        let mut asked = Self { store: true, epoch, inline: exporter.inline, ..Self::default() };
        for (name, value) in &exporter.attributes {
            asked.take(name, value)?;
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        if self.annotations.take(name, value)? {
            return Ok(());
        }
        match name {
            "name" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    self.names.push(reference(name)?);
                }
            }
            "push" => self.push = switch(name, value)?,
            "push-by-digest" => self.push_by_digest = switch(name, value)?,
            "store" => self.store = switch(name, value)?,
            // An image without a name needs none here.
            "dangling-name-prefix" => {}
            "compression" => self.compression = Some(compression(value)?),
            "force-compression" => self.force_compression = switch(name, value)?,
            "oci-mediatypes" => self.oci_types = Some(switch(name, value)?),
            "source-date-epoch" if value.is_empty() => self.epoch = None,
            "source-date-epoch" => {
                let wrong = |_| {
                    Error::invalid(format!("invalid SOURCE_DATE_EPOCH: {value}: invalid syntax"))
                };
                self.epoch = Some(value.parse().map_err(wrong)?);
            }
            // What is built is there unpacked already, and its blobs are here.
            "unpack" | "prefer-nondist-layers" | "prefer-image-digest" => {
                switch(name, value)?;
            }
            "rewrite-timestamp" | "registry.insecure" if !switch(name, value)? => {}
            "compression-level" | "rewrite-timestamp" | "registry.insecure" => {
                return Err(Error::unsupported(format!("the exporter's option {name}={value}")));
            }
            _ => _ = self.more.insert(name.to_owned(), value.to_owned()),
        }
        Ok(())
    }
}

fn reference(name: &str) -> Result<Reference> {
    let wrong = |error| Error::invalid(format!("failed to parse {name}: {error}"));
    Ok(Reference::parse(name).map_err(wrong)?.or_latest())
}

fn compression(value: &str) -> Result<Compression> {
    match value {
        "uncompressed" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "estargz" => Err(Error::unsupported("the compression estargz")),
        other => Err(Error::invalid(format!("unsupported layer compression type {other}"))),
    }
}

/// A yes or no; nothing is a yes.
pub(super) fn switch(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("non-bool value specified for {name}: {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &[(&str, &str)]) -> Result<Asked> {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let exporter = Exporter { attributes: attributes.collect(), ..Exporter::default() };
        Asked::read(&exporter, Some(3))
    }

    #[test]
    fn what_is_asked_is_read() {
        let asked = read(&[("name", "x,r.test/y:1"), ("push", "true"), ("tar", "false")]).unwrap();
        let names: Vec<String> = asked.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/x:latest", "r.test/y:1"]);
        assert!(asked.push && asked.store && asked.epoch == Some(3));
        assert_eq!(asked.more.get("tar").map(String::as_str), Some("false"));
        let asked = read(&[("source-date-epoch", "7"), ("compression", "zstd")]).unwrap();
        assert_eq!((asked.epoch, asked.compression), (Some(7), Some(Compression::Zstd)));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (name, value) in [("push", "maybe"), ("compression", "x"), ("name", "X")] {
            assert!(read(&[(name, value)]).is_err(), "{name}");
        }
        let error = read(&[("compression", "estargz")]).unwrap_err();
        assert!(error.message.starts_with("the compression estargz is not supported"));
        read(&[("rewrite-timestamp", "false")]).unwrap();
        let error = read(&[("rewrite-timestamp", "true")]).unwrap_err();
        assert!(error.message.contains("rewrite-timestamp=true is not supported"), "{error}");
    }
}

//! Which machine an image is for.

use std::fmt;

use crate::error::{Error, Result};

/// An operating system and a processor, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) variant: Option<String>,
}

impl Platform {
    /// This machine's.
    pub(super) fn host() -> Self {
        let (architecture, variant) = normalise(std::env::consts::ARCH, None);
        Self { architecture, variant }
    }

    /// Reads `os[/architecture[/variant]]`, or an architecture alone.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for anything but Linux.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!(
                "invalid platform {text:?}: unknown operating system or architecture"
            ))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [one] if is_architecture(one) => ("linux", Some(*one), None),
            [os] => (*os, None, None),
            [os, architecture] => (*os, Some(*architecture), None),
            [os, architecture, variant] => (*os, Some(*architecture), Some(*variant)),
            _ => return Err(invalid()),
        };
        if os != "linux" || parts.iter().any(|part| part.is_empty()) {
            return Err(invalid());
        }
        let Some(architecture) = architecture else {
            return Ok(Self::host());
        };
        let (architecture, variant) = normalise(architecture, variant);
        Ok(Self { architecture, variant })
    }

    /// Whether this machine runs an image for that platform.
    pub(super) fn runs(&self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        let (architecture, _) = normalise(architecture, variant);
        os == "linux" && architecture == self.architecture
    }

    /// How well an image for that platform suits: 0 is best; none: not at all.
    pub(super) fn rank(&self, os: &str, architecture: &str, variant: Option<&str>) -> Option<u32> {
        let (architecture, variant) = normalise(architecture, variant);
        if os != "linux" || architecture != self.architecture {
            return None;
        }
        if variant == self.variant {
            return Some(0);
        }
        let number = |variant: &Option<String>| {
            variant.as_deref().map_or(Some(1), |text| text.strip_prefix('v')?.parse().ok())
        };
        let (wanted, offered): (u32, u32) = (number(&self.variant)?, number(&variant)?);
        match self.variant {
            // Newer processors run what is for older ones.
            Some(_) => wanted.checked_sub(offered),
            // Which one this is is not known; the oldest is the safest.
            None => Some(offered),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

fn is_architecture(text: &str) -> bool {
    matches!(
        text,
        "amd64"
            | "x86_64"
            | "x86-64"
            | "arm64"
            | "aarch64"
            | "arm"
            | "386"
            | "i386"
            | "riscv64"
            | "ppc64le"
            | "s390x"
            | "loong64"
            | "mips64le"
    )
}

/// One word for each architecture; a variant that is the default is left out.
fn normalise(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("x86" | "i386" | "i686", variant) => ("386", variant),
        ("loongarch64", variant) => ("loong64", variant),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_in_every_spelling() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(Platform::parse("linux").unwrap(), Platform::host());
        for bad in ["", "windows/amd64", "linux/", "a/b/c/d", "plan9"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }
}

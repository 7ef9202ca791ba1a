//! Which machine an image is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Linux on a processor, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor (`amd64`).
    pub architecture: String,
    /// Its variant (`v7`); none: any, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This machine's.
    pub fn host() -> Self {
        let (architecture, variant) = normalise(std::env::consts::ARCH, None);
        Self { architecture, variant }
    }

    /// This machine's, with the newest variant of its processor whose programs it runs.
    pub fn of_this_machine() -> Self {
        let host = Self::host();
        let variant = match host.architecture.as_str() {
            "amd64" => Some(amd64_variant().to_owned()),
            _ => host.variant,
        };
        Self { variant, ..host }
    }

    /// The platform that parts of it, as an API or a configuration names them, make.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for anything but Linux.
    pub fn of(os: &str, architecture: &str, variant: Option<&str>) -> Result<Self> {
        if os != "linux" {
            return Err(Error::invalid(format!("operating system is not supported: {os}")));
        }
        Ok(Self::normal(architecture, variant))
    }

    /// A processor in the words that are used for it here.
    pub(super) fn normal(architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.filter(|variant| !variant.is_empty());
        let (architecture, variant) = normalise(architecture, variant);
        Self { architecture, variant }
    }

    /// Reads `os[/architecture[/variant]]`, or an architecture alone.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for anything but Linux.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid =
            |reason: &str| Err(Error::invalid(format!("{text:?}: {reason}: invalid argument")));
        let parts: Vec<&str> = text.split('/').collect();
        if let Some(wrong) = parts.iter().find(|part| !is_component(part)) {
            return Err(Error::invalid(format!(
                "{wrong:?} is an invalid component of {text:?}: platform specifier component must \
                 match \"^[A-Za-z0-9_.-]+$\": invalid argument"
            )));
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [one] if is_architecture(one) => ("linux", Some(*one), None),
            ["linux"] => ("linux", None, None),
            ["windows" | "darwin" | "macos" | "freebsd"] => (parts[0], None, None),
            [_] => return invalid("unknown operating system or architecture"),
            [os, architecture] => (*os, Some(*architecture), None),
            [os, architecture, variant] => (*os, Some(*architecture), Some(*variant)),
            _ => return invalid("cannot parse platform specifier"),
        };
        if os != "linux" {
            return invalid("operating system is not supported");
        }
        let Some(architecture) = architecture else {
            return Ok(Self::host());
        };
        let (architecture, variant) = normalise(architecture, variant);
        Ok(Self { architecture, variant })
    }

    /// How well an image for `offered` suits: 0 is best; none: not at all.
    pub fn rank_of(&self, offered: &Self) -> Option<u32> {
        self.rank("linux", &offered.architecture, offered.variant.as_deref())
    }

    /// The same for a platform in the words of a manifest or a configuration.
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

/// The level of x86-64, as the ABI's authors number them.
#[cfg(target_arch = "x86_64")]
fn amd64_variant() -> &'static str {
    macro_rules! has {
        ($($feature:tt)*) => { $(is_x86_feature_detected!($feature) &&)* true };
    }
    if !has!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "cmpxchg16b") {
        return "v1";
    }
    if !has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe" "xsave") {
        return "v2";
    }
    if !has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl") {
        return "v3";
    }
    "v4"
}

#[cfg(not(target_arch = "x86_64"))]
fn amd64_variant() -> &'static str {
    "v1"
}

fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.bytes().all(plain)
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
    fn this_machine_runs_what_is_for_it() {
        let here = Platform::of_this_machine();
        assert!(here.rank_of(&Platform::host()).is_some());
        assert!(here.to_string().starts_with(&Platform::host().to_string()));
        assert_eq!(here.rank_of(&Platform::normal("s390x", None)), None);
    }

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
        for (bad, said) in [
            ("", "\"\" is an invalid component of \"\": platform specifier component must match"),
            ("linux/", "\"\" is an invalid component of \"linux/\""),
            ("linux/bad!", "\"bad!\" is an invalid component of \"linux/bad!\""),
            ("a/b/c/d", "\"a/b/c/d\": cannot parse platform specifier: invalid argument"),
            ("plan9", "\"plan9\": unknown operating system or architecture: invalid argument"),
            ("windows/amd64", "\"windows/amd64\": operating system is not supported"),
            ("macos", "\"macos\": operating system is not supported: invalid argument"),
        ] {
            let error = Platform::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}

//! Platforms: `linux/amd64`, `linux/arm/v7`, `arm64`.

use std::fmt;

use crate::error::{Error, Result};
use crate::text::quote::quoted;

/// What a program is made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The system, such as `linux`.
    pub os: String,
    /// The processor, such as `amd64`.
    pub architecture: String,
    /// Which kind of that, or nothing.
    pub variant: String,
    /// Which version of the system, or nothing.
    pub os_version: String,
}

const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
const PROCESSORS: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// The forms of the parts, as they are told to who gets them wrong.
const OS_FORM: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$";
const PART_FORM: &str = "^[A-Za-z0-9_.-]+$";

impl Platform {
    /// A platform by its parts, in their usual spelling.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = usual(architecture, variant);
        let os = match os.to_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        Self { os, architecture, variant, os_version: String::new() }
    }

    /// Reads a platform. What it leaves out is `here`'s.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str, here: &Self) -> Result<Self> {
        let invalid = |what: String| Error::new(format!("{what}: invalid argument"));
        if text.contains('*') {
            return Err(invalid(format!("{}: wildcards not yet supported", quoted(text))));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (os, os_version) = match parts[0].split_once('(') {
            Some((os, version)) => (os, version.strip_suffix(')')),
            None => (parts[0], Some("")),
        };
        let word = |part: &str, more: &str| {
            part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let is_os = !os.is_empty() && word(os, "_-");
        let Some(os_version) = os_version.filter(|version| is_os && word(version, "_.-")) else {
            return Err(invalid(format!(
                "{} is an invalid OS component of {}: OSAndVersion specifier component must match {}",
                quoted(parts[0]),
                quoted(text),
                quoted(OS_FORM)
            )));
        };
        for part in parts.iter().skip(1) {
            if part.is_empty() || !word(part, "_.-") {
                return Err(invalid(format!(
                    "{} is an invalid component of {}: platform specifier component must match {}",
                    quoted(part),
                    quoted(text),
                    quoted(PART_FORM)
                )));
            }
        }
        let found = match parts.as_slice() {
            [_] => Self::of_one_word(os, here),
            [_, architecture] => {
                let mut found = Self::new(os, architecture, "");
                // This is the kind that is meant if none is.
                if found.architecture == "arm" && found.variant == "v7" {
                    found.variant.clear();
                }
                Some(found)
            }
            [_, architecture, variant] => {
                let mut found = Self::new(os, architecture, variant);
                if found.architecture == "arm64" && found.variant.is_empty() {
                    "v8".clone_into(&mut found.variant);
                }
                Some(found)
            }
            _ => return Err(invalid(format!("{}: cannot parse platform specifier", quoted(text)))),
        };
        let mut found = found.ok_or_else(|| {
            invalid(format!("{}: unknown operating system or architecture", quoted(text)))
        })?;
        os_version.clone_into(&mut found.os_version);
        Ok(found)
    }

    fn of_one_word(word: &str, here: &Self) -> Option<Self> {
        let system = Self::new(word, &here.architecture, &here.variant);
        if SYSTEMS.contains(&system.os.as_str()) {
            return Some(system);
        }
        let mut processor = Self::new(&here.os, word, "");
        if processor.architecture == "arm" && processor.variant == "v7" {
            processor.variant.clear();
        }
        PROCESSORS.contains(&processor.architecture.as_str()).then_some(processor)
    }

    /// The same in its usual spelling.
    #[must_use]
    pub fn normal(&self) -> Self {
        let os_version = self.os_version.clone();
        Self { os_version, ..Self::new(&self.os, &self.architecture, &self.variant) }
    }

    /// The system, the processor and its kind, without the version.
    #[must_use]
    pub fn short(&self) -> String {
        Self { os_version: String::new(), ..self.clone() }.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.write_str("unknown");
        }
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(f, "({})", self.os_version)?;
        }
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

fn usual(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_written() {
        let here = Platform::new("linux", "amd64", "");
        for (text, expected) in [
            ("linux", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("macos/arm64", "darwin/arm64"),
            ("what/ever", "what/ever"),
        ] {
            assert_eq!(Platform::parse(text, &here).unwrap().to_string(), expected);
        }
        for wrong in ["", "nonsense", "linux/", "a/b/c/d", "linux/*", "lin ux/amd64", "windows(x"] {
            assert!(Platform::parse(wrong, &here).is_err(), "{wrong}");
        }
        let arm = Platform::parse("linux/arm64/v8", &here).unwrap();
        assert_eq!(arm.normal().to_string(), "linux/arm64");
    }
}

//! Profiles in docker's format: the OCI filter, with rules that hold only for some capabilities,
//! processors or kernels.

use serde::Deserialize;

use super::super::document::{Argument, Seccomp, Syscall};
use crate::error::{Error, Result};

/// A profile as users write it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(crate) struct Profile {
    pub(super) default_action: String,
    pub(super) default_errno_ret: Option<u32>,
    pub(super) architectures: Vec<String>,
    pub(super) arch_map: Vec<Architecture>,
    pub(super) flags: Vec<String>,
    pub(super) listener_path: String,
    pub(super) listener_metadata: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) syscalls: Vec<Rule>,
}

/// A processor and those whose programs it runs too.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Architecture {
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) sub_architectures: Vec<String>,
}

/// What happens to some system calls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    /// The old way to say one name.
    pub(super) name: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) names: Vec<String>,
    pub(super) action: String,
    pub(super) errno_ret: Option<u32>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) args: Vec<Argument>,
    #[serde(deserialize_with = "or_default")]
    pub(super) includes: Filter,
    #[serde(deserialize_with = "or_default")]
    pub(super) excludes: Filter,
}

/// When a rule holds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    #[serde(deserialize_with = "or_empty")]
    pub(super) caps: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<String>,
}

/// What a profile's conditions are judged by.
#[derive(Debug, Clone)]
pub(crate) struct Conditions<'a> {
    /// The container's bounding set.
    pub(crate) capabilities: &'a [&'static str],
    /// The processor by Go's name.
    pub(crate) processor: &'static str,
    /// Version and patch level of the kernel.
    pub(crate) kernel: (u32, u32),
}

/// This machine's processor by Go's name.
pub(crate) const PROCESSOR: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    b"riscv64" => "riscv64",
    b"s390x" => "s390x",
    _ => "other",
};

/// A list that Go writes as `null` when it is empty.
fn or_empty<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    or_default(deserializer)
}

fn or_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// Invalid if it is no profile, or says the same thing in two ways.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Error::invalid(format!("Decoding seccomp profile failed: {why}"))
        };
        // A list would be taken for an object that says nothing, and so for no filter at all.
        if !json.trim_start().starts_with('{') {
            return Err(wrong(&"it is no JSON object"));
        }
        let profile: Self = serde_json::from_str(json).map_err(|error| wrong(&error))?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(Error::invalid(
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use \
                 either 'architectures' or 'archMap'",
            ));
        }
        if profile.syscalls.iter().any(|rule| !rule.name.is_empty() && !rule.names.is_empty()) {
            return Err(Error::invalid(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' \
                 or 'names'",
            ));
        }
        for filter in profile.syscalls.iter().flat_map(|rule| [&rule.includes, &rule.excludes]) {
            if let Some(version) = &filter.min_kernel {
                kernel_version(version).ok_or_else(|| {
                    Error::invalid(format!("invalid minKernel in the seccomp profile: {version}"))
                })?;
            }
        }
        Ok(profile)
    }

    /// The filter for one container; `None` if the profile says nothing at all.
    pub(crate) fn resolve(&self, conditions: &Conditions<'_>) -> Option<Seccomp> {
        if self.default_action.is_empty() && self.syscalls.is_empty() {
            return None;
        }
        let mut architectures = self.architectures.clone();
        let native = native_architecture(conditions.processor);
        if let Some(entry) = self.arch_map.iter().find(|entry| entry.architecture == native) {
            architectures.push(entry.architecture.clone());
            architectures.extend(entry.sub_architectures.iter().cloned());
        }
        let holds = |rule: &&Rule| {
            rule.includes.includes(conditions) && !rule.excludes.excludes(conditions)
        };
        Some(Seccomp {
            default_action: self.default_action.clone(),
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: self.syscalls.iter().filter(holds).map(Rule::to_syscall).collect(),
        })
    }
}

impl Rule {
    fn to_syscall(&self) -> Syscall {
        let names = if self.name.is_empty() { self.names.clone() } else { vec![self.name.clone()] };
        Syscall {
            names,
            action: self.action.clone(),
            errno_ret: self.errno_ret,
            args: self.args.clone(),
        }
    }
}

impl Filter {
    /// Whether a rule with these conditions holds: all that it names must be so.
    fn includes(&self, conditions: &Conditions<'_>) -> bool {
        (self.arches.is_empty() || self.has_processor(conditions))
            && self.caps.iter().all(|name| conditions.capabilities.contains(&name.as_str()))
            && (self.min_kernel.is_none() || self.has_kernel(conditions))
    }

    /// Whether a rule with these exceptions does not hold: one of them is enough.
    fn excludes(&self, conditions: &Conditions<'_>) -> bool {
        self.has_processor(conditions)
            || self.caps.iter().any(|name| conditions.capabilities.contains(&name.as_str()))
            || self.has_kernel(conditions)
    }

    fn has_processor(&self, conditions: &Conditions<'_>) -> bool {
        self.arches.iter().any(|processor| processor == conditions.processor)
    }

    fn has_kernel(&self, conditions: &Conditions<'_>) -> bool {
        self.min_kernel
            .as_deref()
            .and_then(kernel_version)
            .is_some_and(|least| conditions.kernel >= least)
    }
}

/// The first two numbers of a kernel's version.
pub(crate) fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn native_architecture(processor: &str) -> &'static str {
    match processor {
        "amd64" => "SCMP_ARCH_X86_64",
        "arm64" => "SCMP_ARCH_AARCH64",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONDITIONS: Conditions<'_> =
        Conditions { capabilities: &["CAP_CHOWN"], processor: "amd64", kernel: (6, 1) };

    fn names(json: &str) -> Vec<String> {
        let filter = Profile::parse(json).unwrap().resolve(&CONDITIONS).unwrap();
        filter.syscalls.into_iter().flat_map(|call| call.names).collect()
    }

    #[test]
    fn conditions_decide_which_rules_hold() {
        let json = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["always"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}},
            {"name": "old", "action": "SCMP_ACT_ALLOW"},
            {"names": ["has"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["lacks"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
            {"names": ["not"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["newer"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}}
        ]}"#;
        assert_eq!(names(json), ["always", "old", "has", "new"]);
    }

    #[test]
    fn a_profile_that_says_nothing_is_no_filter() {
        assert!(Profile::parse("{}").unwrap().resolve(&CONDITIONS).is_none());
    }

    #[test]
    fn a_profile_that_contradicts_itself_is_refused() {
        for json in [
            "",
            "[]",
            r#"{"architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "x"}]}"#,
            r#"{"syscalls": [{"name": "a", "names": ["b"]}]}"#,
            r#"{"syscalls": [{"names": ["b"], "includes": {"minKernel": "x"}}]}"#,
        ] {
            assert!(Profile::parse(json).is_err(), "{json}");
        }
    }
}

//! The capabilities of a container's process.
//!
//! The order matters: the bounding set is cut while `CAP_SETPCAP` is still there, the others are
//! kept over the change of user, and what the process is to have is set last.

use std::str::FromStr;

use oci_spec::runtime::LinuxCapabilities;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities,
};
use serde_json::Value;

/// The five sets of capabilities that a process is to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl Capabilities {
    /// The sets that `process.capabilities` names; one that it leaves out is empty.
    pub(crate) fn from_spec(spec: &LinuxCapabilities) -> Capabilities {
        Capabilities {
            bounding: set_of(spec.bounding().as_ref()),
            effective: set_of(spec.effective().as_ref()),
            permitted: set_of(spec.permitted().as_ref()),
            inheritable: set_of(spec.inheritable().as_ref()),
            ambient: set_of(spec.ambient().as_ref()),
        }
    }

    /// Refuses what this process cannot give, while there is still someone to be told.
    ///
    /// # Errors
    /// `EPERM`, as capset(2) would say once the program is about to run.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        let own = capabilities(None)?;
        let granted = own.permitted.contains(self.permitted)
            && self.permitted.contains(self.effective)
            && (own.inheritable | self.bounding).contains(self.inheritable);
        if granted { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Takes all capabilities out of the bounding set but those to be kept, and makes the others
    /// survive the change of user that follows. A process without `CAP_SETPCAP` cannot cut the set;
    /// it is not cut then, and bounds what it bounded before.
    ///
    /// # Errors
    /// prctl(2)'s.
    pub(crate) fn before_change_of_user(&self) -> Result<(), Errno> {
        if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
            for capability in single_bits().filter(|bit| !self.bounding.contains(*bit)) {
                match remove_capability_from_bounding_set(capability) {
                    Ok(()) => {}
                    // The first number that this kernel does not know is past its last capability.
                    Err(Errno::INVAL) => break,
                    Err(errno) => return Err(errno),
                }
            }
        }
        set_keep_capabilities(true)
    }

    /// Makes those capabilities effective that the process is to start with, and no others.
    ///
    /// # Errors
    /// capset(2)'s.
    pub(crate) fn take_effective(&self) -> Result<(), Errno> {
        let sets = capabilities(None)?;
        let effective = self.effective & sets.permitted;
        set_capabilities(None, CapabilitySets { effective, ..sets })
    }

    /// The names of the ambient capabilities that the kernel will not grant: one has to be permitted
    /// and inheritable to become ambient.
    pub(crate) fn without_grounds(&self) -> Vec<String> {
        let missing = self.ambient - (self.permitted & self.inheritable);
        caps::all()
            .into_iter()
            .filter(|one| missing.contains(CapabilitySet::from_bits_retain(one.bitmask())))
            .map(|one| one.to_string())
            .collect()
    }

    /// Gives the process what it is to have, and returns the ambient capabilities that the kernel
    /// did not grant.
    ///
    /// # Errors
    /// capset(2)'s: `EPERM` for a capability that this process does not have itself.
    pub(crate) fn after_change_of_user(&self) -> Result<CapabilitySet, Errno> {
        set_keep_capabilities(false)?;
        set_capabilities(
            None,
            CapabilitySets {
                effective: self.effective,
                permitted: self.permitted,
                inheritable: self.inheritable,
            },
        )?;
        clear_ambient_capability_set()?;
        let mut missing = CapabilitySet::empty();
        for capability in single_bits().filter(|bit| self.ambient.contains(*bit)) {
            if configure_capability_in_ambient_set(capability, true).is_err() {
                missing |= capability;
            }
        }
        Ok(missing)
    }
}

/// Each capability that the kernel could have, as a set of one.
fn single_bits() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
}

fn set_of(names: Option<&oci_spec::runtime::Capabilities>) -> CapabilitySet {
    names
        .into_iter()
        .flatten()
        .filter_map(|name| bit_of(&format!("CAP_{name}")))
        .fold(CapabilitySet::empty(), |set, bit| set | bit)
}

/// The bit of the capability that `config.json` calls `name`.
fn bit_of(name: &str) -> Option<CapabilitySet> {
    let capability = caps::Capability::from_str(name).ok()?;
    Some(CapabilitySet::from_bits_retain(capability.bitmask()))
}

/// Takes the names that mean no capability out of `process.capabilities`, and returns them for a
/// warning: a bundle may name one of a newer kernel, and runs without it.
pub(crate) fn forget_unknown(process: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    for names in sets.into_iter().flat_map(|sets| sets.values_mut()) {
        if let Some(names) = names.as_array_mut() {
            names.retain(|name| {
                let known = name.as_str().is_none_or(|name| bit_of(name).is_some());
                if let (false, Some(name)) = (known, name.as_str()) {
                    unknown.push(name.to_owned());
                }
                known
            });
        }
    }
    unknown.sort();
    unknown.dedup();
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Capabilities {
        Capabilities::from_spec(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn names_become_bits() {
        let wanted = parse(
            r#"{"bounding": ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"], "effective": ["CAP_KILL"]}"#,
        );
        assert_eq!(wanted.bounding, CapabilitySet::CHOWN | CapabilitySet::CHECKPOINT_RESTORE);
        assert_eq!(wanted.effective, CapabilitySet::KILL);
        assert_eq!(wanted.inheritable, CapabilitySet::empty(), "not named, so empty");
    }

    #[test]
    fn every_name_of_the_specification_is_known() {
        for capability in caps::all() {
            let spec = format!(r#"{{"bounding": ["{capability}"]}}"#);
            assert_eq!(parse(&spec).bounding.bits(), capability.bitmask(), "{capability}");
        }
    }

    #[test]
    fn unknown_names_are_taken_out_and_told() {
        let mut process = serde_json::json!({"capabilities": {
            "bounding": ["CAP_CHOWN", "CAP_FUTURE", "CAP_KILL"],
            "effective": ["CAP_FUTURE", "CAP_DISTANT", 7],
        }});
        assert_eq!(forget_unknown(&mut process), ["CAP_DISTANT", "CAP_FUTURE"]);
        assert_eq!(
            process["capabilities"]["bounding"],
            serde_json::json!(["CAP_CHOWN", "CAP_KILL"])
        );
        assert_eq!(forget_unknown(&mut serde_json::json!({"args": []})), Vec::<String>::new());
    }

    /// Capabilities belong to a thread, so a thread stands for the container's process here.
    #[test]
    fn a_thread_gets_exactly_what_is_named() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let wanted = parse(
            r#"{"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"],
                "ambient": ["CAP_KILL", "CAP_CHOWN"]}"#,
        );
        let (missing, status) = std::thread::spawn(move || {
            wanted.before_change_of_user().unwrap();
            let missing = wanted.after_change_of_user().unwrap();
            (missing, std::fs::read_to_string("/proc/thread-self/status").unwrap())
        })
        .join()
        .unwrap();
        assert_eq!(missing, CapabilitySet::CHOWN, "not inheritable, so not ambient");
        assert_eq!(wanted.without_grounds(), ["CAP_CHOWN"]);
        for line in [
            "CapInh:\t0000000000000020",
            "CapPrm:\t0000000000000021",
            "CapEff:\t0000000000000001",
            "CapBnd:\t0000000000000021",
            "CapAmb:\t0000000000000020",
        ] {
            assert!(status.contains(line), "{line} in\n{status}");
        }
    }
}

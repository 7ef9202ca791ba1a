//! The NUMA memory policy and the execution domain of a process.

use super::schedule::parse_list;
use crate::error::{Context, Error, Result};
use crate::linux::schedule::set_memory_policy;
use crate::linux::system;
use oci_spec::runtime::{
    LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain, MemoryPolicyFlagType,
    MemoryPolicyModeType,
};

/// The bits of a mask of nodes, of which no kernel has more.
const NODES: usize = 1024;

/// A NUMA memory policy, as set_mempolicy(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryPolicy {
    mode: u32,
    nodes: [u64; NODES / 64],
}

impl MemoryPolicy {
    /// Understands what the bundle asks for, and refuses what the kernel would.
    pub(crate) fn plan(policy: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
        use MemoryPolicyModeType::*;
        let list = policy.nodes().as_deref().unwrap_or_default();
        let numbers = parse_list(list)
            .map_err(|error| Error::invalid(format!("invalid memory policy nodes: {error}")))?;
        match (policy.mode(), numbers.len()) {
            (MpolDefault | MpolLocal, count @ 1..) => {
                return Err(Error::invalid(format!(
                    "memory policy mode requires 0 nodes but got {count}"
                )));
            }
            (MpolBind | MpolInterleave | MpolPreferredMany | MpolWeightedInterleave, 0) => {
                return Err(Error::invalid(
                    "memory policy mode requires at least one node but got 0",
                ));
            }
            _ => {}
        }
        let flags = policy.flags().iter().flatten();
        let mode = flags.fold(mode(policy.mode()), |mode, flag| mode | bit(flag));
        let mut nodes = [0u64; NODES / 64];
        for node in numbers {
            let word = nodes.get_mut(node / 64).ok_or_else(|| {
                Error::invalid(format!("invalid memory policy nodes: there is no node {node}"))
            })?;
            *word |= 1 << (node % 64);
        }
        Ok(MemoryPolicy { mode, nodes })
    }

    /// Applies it to this process.
    pub(crate) fn apply(&self) -> Result<()> {
        set_memory_policy(self.mode, &self.nodes).context(|| "set memory policy")
    }
}

fn mode(mode: MemoryPolicyModeType) -> u32 {
    match mode {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    }
}

fn bit(flag: &MemoryPolicyFlagType) -> u32 {
    match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    }
}

/// An execution domain, as personality(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Personality(u64);

impl Personality {
    /// Understands what the bundle asks for. The specification has no flags yet.
    pub(crate) fn plan(personality: &LinuxPersonality) -> Result<Personality> {
        if let Some(flag) = personality.flags().iter().flatten().next() {
            return Err(Error::unsupported(format!("personality flag {flag:?} is not supported")));
        }
        Ok(Personality(match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        }))
    }

    /// Applies it to this process.
    pub(crate) fn apply(self) -> Result<()> {
        system::set_personality(self.0).context(|| "set personality")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<MemoryPolicy> {
        MemoryPolicy::plan(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_policy_is_a_mode_with_flags_and_a_mask() {
        let json = r#"{"mode": "MPOL_BIND", "nodes": "0-1,64", "flags": ["MPOL_F_STATIC_NODES"]}"#;
        let policy = plan(json).unwrap();
        assert_eq!(policy.mode, 2 | 1 << 15);
        assert_eq!(policy.nodes[..3], [3, 1, 0]);
        plan(r#"{"mode": "MPOL_PREFERRED"}"#).unwrap();
    }

    #[test]
    fn nodes_that_the_mode_does_not_take_are_refused() {
        for (json, words) in [
            (r#"{"mode": "MPOL_DEFAULT", "nodes": "0-7"}"#, "mode requires 0 nodes but got 8"),
            (r#"{"mode": "MPOL_BIND"}"#, "requires at least one node but got 0"),
            (r#"{"mode": "MPOL_BIND", "nodes": "x"}"#, "invalid memory policy nodes"),
            (r#"{"mode": "MPOL_BIND", "nodes": "1024"}"#, "invalid memory policy nodes"),
            (r#"{"mode": "MPOL_BIND", "nodes": "0-9876543210"}"#, "invalid memory policy nodes"),
        ] {
            let error = plan(json).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_personality_has_no_flags() {
        let json = r#"{"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]}"#;
        let error = Personality::plan(&serde_json::from_str(json).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "personality flag \"ADDR_NO_RANDOMIZE\" is not supported");
    }
}

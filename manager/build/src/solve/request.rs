//! What is to be built.

use std::collections::BTreeMap;

use tare_core::registry::Credentials;
use tare_dockerfile::plan::Manner;
use tare_dockerfile::platform::Platform;

use super::built::Part;
use super::platform;
use crate::attrs::Attrs;
use crate::error::{Error, Result};
use crate::tree::Tree;

/// What is to be built, and with what.
#[derive(Clone, Default)]
pub struct Request {
    /// What is asked for.
    pub attrs: Attrs,
    /// The session that has directories, secrets and credentials.
    pub session: Option<String>,
    /// Directories that are here, by the names that a session has for them: `context`, `dockerfile`.
    /// They are as they are meant: what `.dockerignore` names has been left out already.
    pub given: BTreeMap<String, Tree>,
    /// Results of other builds, for contexts that are `input:NAME`.
    pub inputs: BTreeMap<String, Part>,
    /// What commands may do.
    pub allowed: Allowed,
    /// How much commands may take.
    pub limits: Limits,
    /// Whose habits are kept.
    pub manner: Manner,
    /// The only images whose layers may be taken for results of steps; none: whatever is known.
    pub only_images: Vec<String>,
    /// What may be shown to registries, by their hosts; what is not here, the session is asked for.
    pub credentials: BTreeMap<String, Credentials>,
}

/// What commands may do that containers may not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// They may be in the host's network.
    pub host_network: bool,
    /// They may do everything.
    pub insecure: bool,
}

/// How much commands may take; zero and nothing: as much as they want.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of memory and swap together; -1: any.
    pub memory_swap: i64,
    /// The weight of their share of processors.
    pub cpu_shares: u64,
    /// Microseconds of a period that they may run.
    pub cpu_quota: i64,
    /// That period.
    pub cpu_period: u64,
    /// The processors that they run on.
    pub cpu_set: String,
    /// The memory nodes that they use.
    pub memory_set: String,
}

impl Request {
    /// What a client of `BuildKit`'s API asks for with these attributes of the front end, and with
    /// these entitlements (`network.host`).
    ///
    /// # Errors
    /// What means nothing, and what is not there, by name.
    pub fn of(
        attributes: &BTreeMap<String, String>,
        session: &str,
        inputs: BTreeMap<String, Part>,
        allowed: &[String],
    ) -> Result<Self> {
        Ok(Self {
            attrs: Attrs::parse(attributes, &platform::here())?,
            session: Some(session.to_owned()).filter(|session| !session.is_empty()),
            inputs,
            allowed: Allowed::parse(allowed)?,
            ..Self::default()
        })
    }

    /// The platforms that are built for; one of them none, if it was not asked for.
    pub(super) fn platforms(&self) -> Vec<Option<Platform>> {
        match self.attrs.platforms.as_slice() {
            [] => vec![None],
            asked => asked.iter().cloned().map(Some).collect(),
        }
    }
}

impl Allowed {
    /// Reads entitlements.
    ///
    /// # Errors
    /// There is no such one.
    pub fn parse(names: &[String]) -> Result<Self> {
        let mut allowed = Self::default();
        for name in names {
            match name.split_once('=').map_or(name.as_str(), |(name, _)| name) {
                "network.host" => allowed.host_network = true,
                "security.insecure" => allowed.insecure = true,
                "device" => return Err(Error::unsupported("the entitlement device")),
                other => return Err(Error::invalid(format!("unknown entitlement {other}"))),
            }
        }
        Ok(allowed)
    }
}

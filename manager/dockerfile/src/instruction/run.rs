//! RUN.

use super::command::{Command, Words};
use super::device::Device;
use super::flag::Flags;
use super::mount::WrittenMount;
use crate::error::{Error, Result};
use crate::syntax::{Keyword, Node};
use crate::text::quote::quoted;

/// The instruction RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// What it sees besides its files.
    pub mounts: Vec<WrittenMount>,
    /// The network that it is in.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// The devices that it has.
    pub devices: Vec<Device>,
}

/// The network that a command is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The one that builds have.
    Default,
    /// None.
    None,
    /// The host's, which has to be allowed.
    Host,
}

/// What a command may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// What containers may.
    Sandbox,
    /// Everything, which has to be allowed.
    Insecure,
}

pub(super) fn run(node: &Node) -> Result<Run> {
    let flags = Flags::read(Keyword::Run, &node.flags)?;
    let mounts = flags.list("mount");
    let devices = flags.list("device");
    Ok(Run {
        command: Command { words: Words::read(&node.arguments), documents: node.heredocs.clone() },
        mounts: mounts.into_iter().map(WrittenMount::new).collect::<Result<_>>()?,
        network: match flags.text("network").as_str() {
            "" | "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                return Err(Error::new(format!("invalid network mode {}", quoted(other))));
            }
        },
        security: match flags.text("security").as_str() {
            "" | "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => return Err(Error::new(format!("security {} is not valid", quoted(other)))),
        },
        devices: devices.iter().map(|text| Device::parse(text)).collect::<Result<_>>()?,
    })
}

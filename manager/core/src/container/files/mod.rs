//! The files that a container gets from its manager: host name, hosts and resolver settings. They
//! are written into the container's own directory and bind-mounted from there, so that no path of
//! the image is ever written through.
//!
//! Whoever is root in the container may write into them, too: what is read from them is bytes of
//! any kind, and never more than [`LARGEST`].

mod hosts;
mod resolver;

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::link::Linked;
use super::modes::NetworkMode;
use super::record::Container;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::image::Digest;
use crate::network::Sandbox;
use resolver::Resolver;
pub(super) use resolver::{forwarding, name_servers};

/// Bytes of the largest file that is changed while its container runs.
const LARGEST: u64 = 1 << 20;

/// Held by who changes a file of a container that runs.
static CHANGING: Mutex<()> = Mutex::new(());

/// Where a container's files are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) hostname: PathBuf,
    pub(crate) hosts: PathBuf,
    pub(crate) resolv_conf: PathBuf,
    /// The digest of the resolver's settings as they were written last.
    resolv_conf_digest: PathBuf,
}

impl Files {
    /// Those in the container's `directory`.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            hostname: directory.join("hostname"),
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
            resolv_conf_digest: directory.join("resolv.conf.digest"),
        }
    }

    /// Each with its path inside.
    pub(crate) fn targets(&self) -> [(&'static str, &Path); 3] {
        [
            ("/etc/resolv.conf", &self.resolv_conf),
            ("/etc/hostname", &self.hostname),
            ("/etc/hosts", &self.hosts),
        ]
    }

    /// Writes them for a start of `container` with this network stack and these others that
    /// it is told of; from inside, the host is reached at `host`. Blocks.
    pub(super) fn write(
        &self,
        container: &Container,
        sandbox: Option<&Sandbox>,
        linked: &[Linked],
        host: &[IpAddr],
        config: &Config,
    ) -> Result<()> {
        let is_on_host = container.host.network_mode == NetworkMode::Host;
        let hosts = match is_on_host && container.host.extra_hosts.is_empty() {
            true => of_host("/etc/hosts").into_bytes(),
            false => hosts::of(container, sandbox, linked, host)?.into_bytes(),
        };
        write(&self.hostname, format!("{}\n", container.config.hostname).as_bytes())?;
        write(&self.hosts, &hosts)?;
        self.write_resolver(&Resolver::of(container, sandbox, config).to_string())
    }

    fn write_resolver(&self, text: &str) -> Result<()> {
        write(&self.resolv_conf, text.as_bytes())?;
        write(&self.resolv_conf_digest, Digest::of(text.as_bytes()).to_string().as_bytes())
    }

    /// Brings them from the networks that a running container had to those that it has. What its
    /// user has written into them stays. Blocks.
    pub(super) fn follow(
        &self,
        container: &Container,
        before: &Sandbox,
        after: &Sandbox,
        config: &Config,
    ) -> Result<()> {
        let own = [before, after].map(|sandbox| hosts::own_lines(container, Some(sandbox)));
        self.change_hosts(|text| hosts::replaced(text, &own[0], &own[1]))?;
        let [old, new] = [before, after]
            .map(|sandbox| Resolver::of(container, Some(sandbox), config).to_string());
        let _turn = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        if old != new && self.resolver_is_ours() {
            self.write_resolver(&new)?;
        }
        Ok(())
    }

    /// Says where another is now that is called `alias`, where the container is told of it. Blocks.
    pub(super) fn move_linked(&self, alias: &str, addresses: &[IpAddr]) -> Result<()> {
        self.change_hosts(|text| {
            addresses.iter().fold(text.to_vec(), |text, to| hosts::moved(&text, alias, *to))
        })
    }

    fn change_hosts(&self, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<()> {
        let _turn = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = read(&self.hosts)? else { return Ok(()) };
        let after = change(&before);
        if after == before { Ok(()) } else { write(&self.hosts, &after) }
    }

    /// Whether the resolver's settings are as we have written them.
    fn resolver_is_ours(&self) -> bool {
        let written = std::fs::read_to_string(&self.resolv_conf_digest).ok();
        let there = read(&self.resolv_conf).ok().flatten();
        there.is_some_and(|there| written == Some(Digest::of(&there).to_string()))
    }
}

/// A file of the host; empty if it can't be read.
fn of_host(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is in a file; none if that is too much.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= LARGEST))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes)
        .map_err(|error| Error::io(format!("write {}", path.display()), error))
}

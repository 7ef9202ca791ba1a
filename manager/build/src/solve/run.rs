//! RUN: a command is run, with what it sees besides its files.

use std::sync::Arc;

use bytes::Bytes;
use tare_core::build::{self, Draft, RunMount, RunSource};
use tare_core::container::{NetworkMode, Output, Resources};
use tare_dockerfile::instruction::{Network, Owner, Security};
use tare_dockerfile::plan::{Origin, PlannedMount, PlannedMountKind, Running};
use tokio::sync::mpsc;

use super::build::Build;
use super::keys::owner_text;
use super::perform::Around;
use super::stages::Files;
use crate::cache::{CacheDirectory, CacheMount};
use crate::error::{Error, Result};
use crate::progress::{Stream, Vertex};
use crate::session::{secrets, ssh};

/// Pieces of output that wait to be told.
const AHEAD: usize = 64;
/// The name of the machine, where nobody said another.
const HOSTNAME: &str = "buildkitsandbox";
/// Where sockets of agents are, where nobody said otherwise.
const AGENTS: &str = "/run/buildkit/ssh_agent.";

/// What a command sees, and what it takes to have it.
#[derive(Default)]
struct Seen {
    mounts: Vec<RunMount>,
    variables: Vec<String>,
    /// Sockets of agents by their order.
    agents: usize,
    caches: Vec<CacheDirectory>,
    sockets: Vec<ssh::AgentSocket>,
    trees: Vec<crate::tree::Tree>,
}

impl Build {
    /// Runs a command in a draft.
    pub(super) async fn run(
        &self,
        running: &Running,
        draft: &Draft,
        around: &Around<'_>,
        vertex: &Vertex,
    ) -> Result<()> {
        let seen = self.seen(running, around).await?;
        let attrs = &self.request.attrs;
        let variables = running.environment.iter().chain(around.proxies);
        let mut environment: Vec<String> =
            variables.map(|(name, value)| format!("{name}={value}")).collect();
        environment.extend(seen.variables.iter().cloned());
        let hostname = if attrs.hostname.is_empty() { HOSTNAME } else { &attrs.hostname };
        let run = build::Run {
            arguments: running.arguments.clone(),
            environment,
            directory: running.directory.clone(),
            user: running.user.clone(),
            hostname: hostname.to_owned(),
            mounts: seen.mounts.clone(),
            network: self.network(running.network),
            hosts: attrs.hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect(),
            security: match running.security {
                Security::Sandbox => build::Security::Sandbox,
                Security::Insecure => build::Security::Insecure,
            },
            resources: self.resources(),
            shm_size: Some(attrs.shm_size).filter(|size| *size > 0),
        };
        let (tell, mut output) = mpsc::channel(AHEAD);
        let telling = async {
            while let Some(output) = output.recv().await {
                match output {
                    Output::Stdout(bytes) => vertex.log(Stream::Output, bytes),
                    Output::Stderr(bytes) => vertex.log(Stream::Errors, bytes),
                    Output::Missed(count) => {
                        let text = format!("\n[{count} bytes of output are missing]\n");
                        vertex.log(Stream::Errors, Bytes::from(text));
                    }
                }
            }
        };
        let (ended, ()) = tokio::join!(self.builder.engine.builds.run(draft, run, tell), telling);
        drop(seen);
        verdict(&running.arguments, ended)
    }

    /// The network of a command: what it asks for, or else what the request does.
    fn network(&self, asked: Network) -> NetworkMode {
        let asked = match asked {
            Network::Default => self.request.attrs.network.unwrap_or(Network::Default),
            asked => asked,
        };
        match asked {
            Network::Default => NetworkMode::Default,
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
        }
    }

    fn resources(&self) -> Resources {
        let (attrs, limits) = (&self.request.attrs, &self.request.limits);
        Resources {
            memory: limits.memory,
            memory_swap: limits.memory_swap,
            cpu_shares: i64::try_from(limits.cpu_shares).unwrap_or(i64::MAX),
            cpu_period: i64::try_from(limits.cpu_period).unwrap_or(i64::MAX),
            cpu_quota: limits.cpu_quota,
            cpuset_cpus: limits.cpu_set.clone(),
            cpuset_mems: limits.memory_set.clone(),
            cgroup_parent: attrs.cgroup_parent.clone(),
            ulimits: attrs.ulimits.clone(),
            ..Resources::default()
        }
    }

    async fn seen(&self, running: &Running, around: &Around<'_>) -> Result<Seen> {
        let mut seen = Seen::default();
        if let Some(script) = &running.script {
            let content = script.text.clone().into_bytes();
            let source = RunSource::File { content, mode: 0o755, uid: 0, gid: 0 };
            seen.mounts.push(RunMount { target: script.path.clone(), source, read_only: true });
        }
        // Whoever waits for one of them has none that others wait for, if all take them in one order.
        let mut ordered: Vec<&PlannedMount> = running.mounts.iter().collect();
        ordered.sort_by_key(|mount| match &mount.kind {
            PlannedMountKind::Cache { id, .. } => Some(id),
            _ => None,
        });
        let mut by_place: Vec<(usize, RunMount)> = Vec::with_capacity(ordered.len());
        for mount in ordered {
            let place = running.mounts.iter().position(|other| std::ptr::eq(other, mount));
            let Some((target, source, read_only)) = self.mount(mount, around, &mut seen).await?
            else {
                continue;
            };
            by_place.push((place.unwrap_or_default(), RunMount { target, source, read_only }));
        }
        by_place.sort_by_key(|(place, _)| *place);
        seen.mounts.extend(by_place.into_iter().map(|(_, mount)| mount));
        Ok(seen)
    }

    async fn mount(
        &self,
        mount: &PlannedMount,
        around: &Around<'_>,
        seen: &mut Seen,
    ) -> Result<Option<(String, RunSource, bool)>> {
        let target = || mount.target.clone().unwrap_or_default();
        Ok(match &mount.kind {
            PlannedMountKind::Bind { origin, path, read_only } => {
                let source = self.bound(*origin, path, *read_only, around, seen).await?;
                Some((target(), source, *read_only))
            }
            PlannedMountKind::Cache { id, sharing, origin, path, read_only, owner } => {
                let begins = match origin {
                    None => String::new(),
                    Some(Origin::Stage(stage)) => format!(" {} {path}", around.stage(*stage)?.key),
                    Some(Origin::Context) => format!(" context {path}"),
                };
                let id = format!("{id}{begins} {}", owner_text(*owner));
                let wanted = CacheMount { id, sharing: *sharing, owner: *owner };
                let mut taken = self.builder.cache.mounts.take(&wanted).await?;
                if taken.is_new {
                    if let Some(origin) = origin {
                        let tree = self.tree_at(*origin, around).await?;
                        let root = taken.root.try_clone();
                        let root = root.map_err(|error| Error::io("open a cache mount", error))?;
                        self.fill(root, tree, path).await?;
                    }
                    taken.is_filled();
                }
                let root = taken.root.try_clone();
                let root = root.map_err(|error| Error::io("open a cache mount", error))?;
                seen.caches.push(taken);
                let below = if origin.is_some() { "/" } else { path.as_str() };
                let source = RunSource::Directory(Arc::new(root), below.to_owned());
                Some((target(), source, *read_only))
            }
            PlannedMountKind::Tmpfs { size, read_only } => {
                let size = u64::try_from(*size).ok().filter(|size| *size > 0);
                Some((target(), RunSource::Memory(size), *read_only))
            }
            PlannedMountKind::Secret { id, env, required, owner } => {
                let Some(secret) = self.secret(id, *required).await? else { return Ok(None) };
                if let Some(name) = env {
                    let text = String::from_utf8_lossy(&secret);
                    seen.variables.push(format!("{name}={text}"));
                }
                let Some(target) = mount.target.clone() else { return Ok(None) };
                let Owner { user, group, mode } = *owner;
                let (uid, gid) = (user.unwrap_or(0), group.unwrap_or(0));
                let mode = mode.unwrap_or(0o400);
                Some((target, RunSource::File { content: secret, mode, uid, gid }, true))
            }
            PlannedMountKind::Ssh { id, required, owner } => {
                let place = seen.agents;
                seen.agents += 1;
                let target = mount.target.clone().unwrap_or_else(|| format!("{AGENTS}{place}"));
                let Some(socket) = self.agent(id, *required, *owner).await? else {
                    return Ok(None);
                };
                let has_one =
                    seen.variables.iter().any(|entry| entry.starts_with("SSH_AUTH_SOCK="));
                if !has_one {
                    seen.variables.push(format!("SSH_AUTH_SOCK={target}"));
                }
                let source = RunSource::Socket(socket.path());
                seen.sockets.push(socket);
                Some((target, source, false))
            }
        })
    }

    /// Files that a command sees.
    async fn bound(
        &self,
        origin: Origin,
        path: &str,
        read_only: bool,
        around: &Around<'_>,
        seen: &mut Seen,
    ) -> Result<RunSource> {
        if let Origin::Stage(stage) = origin
            && let Files::Stack(stack) = &around.stage(stage)?.files
        {
            return Ok(RunSource::Stack(stack.clone(), path.to_owned()));
        }
        let tree = self.tree_at(origin, around).await?;
        let root = tree.root().try_clone_to_owned();
        let root = Arc::new(root.map_err(|error| Error::io("open a context", error))?);
        seen.trees.push(tree);
        Ok(match read_only {
            true => RunSource::Directory(root, path.to_owned()),
            false => RunSource::Scratch(root, path.to_owned()),
        })
    }

    async fn secret(&self, id: &str, required: bool) -> Result<Option<Vec<u8>>> {
        let found = match self.client.is_there() {
            true => secrets::secret(self.client.session().await?, id).await?,
            false => None,
        };
        if found.is_none() && required {
            return Err(Error::not_found(format!("secret {id}: not found")));
        }
        Ok(found)
    }

    async fn agent(
        &self,
        id: &str,
        required: bool,
        owner: Owner,
    ) -> Result<Option<ssh::AgentSocket>> {
        let is_there =
            self.client.is_there() && ssh::has_agent(self.client.session().await?, id).await?;
        if !is_there {
            return match required {
                true => {
                    Err(Error::not_found(format!("no SSH key {id:?} forwarded from the client")))
                }
                false => Ok(None),
            };
        }
        let (uid, gid) = (owner.user.unwrap_or(0), owner.group.unwrap_or(0));
        let (uid, gid) = match &self.builder.engine.config.id_map {
            Some(id_map) => id_map.outside(uid, gid)?,
            None => (uid, gid),
        };
        let access = ssh::Access { uid, gid, mode: owner.mode.unwrap_or(0o600) };
        let session = self.client.session().await?;
        ssh::agent(session, id, access, &self.builder.agents()).map(Some)
    }
}

/// What there is to say of how a command ended.
fn verdict(arguments: &[String], ended: tare_core::Result<i32>) -> Result<()> {
    let process = format!("process {:?} did not complete successfully", arguments.join(" "));
    match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(Error {
            exit_code: Some(code),
            ..Error::system(format!("{process}: exit code: {code}"))
        }),
        Err(error) => Err(Error::from(error).while_doing(process)),
    }
}

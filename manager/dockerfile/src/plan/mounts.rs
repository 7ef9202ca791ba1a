//! What a command sees besides its files.

use super::graph::StageId;
use super::operation::{Origin, PlannedMount, PlannedMountKind};
use super::state::Running;
use crate::error::{Error, Result};
use crate::instruction::{Mount, MountKind, Step, WrittenMount};
use crate::text::{path, quote::quoted};

const SECRETS: &str = "/run/secrets/";

impl Running<'_> {
    /// The mounts of a command, with the stages that they are of.
    pub(super) fn mounts(
        &mut self,
        step: &Step,
        written: &[WrittenMount],
        origins: &[Option<StageId>],
    ) -> Result<Vec<PlannedMount>> {
        let mut mounts = Vec::with_capacity(written.len());
        for (written, origin) in written.iter().zip(origins) {
            let mount = written.read(|value| self.expand(step, value))?;
            mounts.push(self.mount(mount, written, *origin)?);
        }
        Ok(mounts)
    }

    fn mount(
        &mut self,
        mount: Mount,
        written: &WrittenMount,
        origin: Option<StageId>,
    ) -> Result<PlannedMount> {
        if origin.is_some_and(|stage| !self.is_before(stage)) {
            let from = written.from.as_deref().unwrap_or_default();
            return Err(Error::new(format!(
                "cannot mount from stage {} to {}, stage needs to be defined before current command",
                quoted(from),
                quoted(&mount.target)
            )));
        }
        let Mount { kind, target } = mount;
        Ok(match kind {
            MountKind::Bind { source, read_only, .. } => {
                let path = path::join("/", &source);
                let target = Some(self.target(&target)?);
                let origin = match origin {
                    Some(stage) => Origin::Stage(stage),
                    None => {
                        self.context_paths.insert(path.clone());
                        Origin::Context
                    }
                };
                PlannedMount { kind: PlannedMountKind::Bind { origin, path, read_only }, target }
            }
            MountKind::Cache { id, sharing, source, read_only, owner, .. } => {
                let id = if id.is_empty() { path::clean(&target) } else { id };
                let id = format!("{}/{id}", self.options.cache_namespace);
                let path = path::join("/", &source);
                let origin = origin.map(Origin::Stage);
                let target = Some(self.target(&target)?);
                let kind = PlannedMountKind::Cache { id, sharing, origin, path, read_only, owner };
                PlannedMount { kind, target }
            }
            MountKind::Tmpfs { size, read_only } => {
                let target = Some(self.target(&target)?);
                PlannedMount { kind: PlannedMountKind::Tmpfs { size, read_only }, target }
            }
            MountKind::Secret { id, env, required, owner } => {
                let usual = || format!("{SECRETS}{}", path::base(&id));
                let target = match (target.is_empty(), &env) {
                    (false, _) => Some(self.target(&target)?),
                    (true, None) => Some(usual()),
                    (true, Some(_)) => None,
                };
                let kind = PlannedMountKind::Secret { id, env, required, owner };
                PlannedMount { kind, target }
            }
            MountKind::Ssh { id, required, owner } => {
                let target = if target.is_empty() { None } else { Some(self.target(&target)?) };
                PlannedMount { kind: PlannedMountKind::Ssh { id, required, owner }, target }
            }
        })
    }

    fn target(&self, target: &str) -> Result<String> {
        let target = if target.starts_with('/') {
            path::clean(target)
        } else {
            path::join(self.state.directory(), target)
        };
        if target == "/" {
            return Err(Error::new(format!("invalid mount target {}", quoted(&target))));
        }
        Ok(target)
    }
}

//! From the Dockerfile to a plan.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tare_dockerfile::instruction::{Dockerfile, Network, Security};
use tare_dockerfile::lint::{Checks, Linter, Warning};
use tare_dockerfile::plan::{Graph, Plan, StageId, Work};
use tare_dockerfile::platform::Platform;
use tare_dockerfile::syntax;

use super::build::Build;
use super::images::Resolved;
use crate::error::{Error, Place, Result};

/// What is done, and the images that it begins with.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) images: BTreeMap<StageId, Resolved>,
}

impl Build {
    /// Finds out what is done for a platform.
    pub(super) async fn plan(&self, platform: Option<&Platform>) -> Result<Planned> {
        let (graph, images) = self.graph(platform, false).await?;
        let plan = graph.plan().map_err(|error| self.of_file(&error))?;
        Ok(Planned { plan, images })
    }

    /// The stages of the file, each told what it begins with; with `all`, also those that nothing
    /// needs.
    pub(super) async fn graph(
        &self,
        platform: Option<&Platform>,
        all: bool,
    ) -> Result<(Graph, BTreeMap<StageId, Resolved>)> {
        let mut linter = Linter::new(self.checks()?);
        let file = Dockerfile::parse(&self.definition.file.text, &mut linter)
            .map_err(|error| self.of_file(&error))?;
        let mut options = self.options(platform);
        options.all_stages = all;
        let graph = Graph::new(file, options, linter);
        let mut graph = graph.map_err(|error| self.of_file(&error))?;
        let mut images = BTreeMap::new();
        loop {
            let wanted = graph.wanted().map_err(|error| self.of_file(&error))?;
            if wanted.is_empty() {
                break;
            }
            let found = wanted.iter().map(|wanted| Box::pin(self.provided(wanted)));
            let found = try_join_all(found).await?;
            for (wanted, (provided, image)) in wanted.iter().zip(found) {
                graph.provide(wanted.stage, provided);
                images.extend(image.map(|image| (wanted.stage, image)));
            }
        }
        graph.leave_out(self.ignored().await?);
        Ok((graph, images))
    }

    /// What is found about the file, and why it could not be built, if it couldn't.
    pub(super) async fn findings(
        &self,
        platform: Option<&Platform>,
        all: bool,
    ) -> (Vec<Warning>, Option<Error>) {
        match self.graph(platform, all).await {
            Err(error) => (Vec::new(), Some(error)),
            Ok((graph, _)) => {
                let so_far = graph.warnings().to_vec();
                match graph.plan() {
                    Ok(plan) => (plan.warnings, None),
                    Err(error) => (so_far, Some(self.of_file(&error))),
                }
            }
        }
    }

    /// The checks that are made: those that were asked for, or else those of the file.
    fn checks(&self) -> Result<Checks> {
        if let Some(asked) = &self.request.attrs.checks {
            return asked.parse().map_err(|error| {
                Error::invalid(format!(
                    "failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: {error}"
                ))
            });
        }
        match syntax::check(&self.definition.file.text) {
            None => Ok(Checks::default()),
            Some(said) => said
                .parse()
                .map_err(|error| Error::invalid(format!("failed to parse check options: {error}"))),
        }
    }

    /// Tells warnings, as part of the step that read the file.
    pub(super) fn warn(&self, warnings: &[Warning]) {
        for warning in warnings {
            let rule = warning.finding.rule();
            let url = rule.url().unwrap_or_default();
            let file = self.definition.file.clone();
            let place = Place { file, lines: warning.lines };
            self.definition.reader.warn(&warning.short(), rule.description(), &url, Some(place));
        }
    }

    /// Makes sure that all commands may do what they ask for.
    pub(super) fn require_allowed(&self, plan: &Plan) -> Result<()> {
        let permitted = &self.builder.settings.permitted;
        let allowed = self.request.allowed;
        let network = permitted.network_host && allowed.host_network;
        let insecure = permitted.security_insecure && allowed.insecure;
        for operation in plan.stages.iter().flat_map(|stage| &stage.operations) {
            let Work::Run(running) = &operation.work else { continue };
            let default = self.request.attrs.network == Some(Network::Host)
                && running.network == Network::Default;
            let refused = match (running.network, running.security) {
                (_, Security::Insecure) if !insecure => "security.insecure",
                (Network::Host, _) if !network => "network.host",
                _ if default && !network => "network.host",
                _ => continue,
            };
            return Err(Error::new(
                tare_core::Kind::Forbidden,
                format!("failed to load LLB: {refused} is not allowed"),
            )
            .at(&self.definition.file, operation.lines));
        }
        Ok(())
    }
}

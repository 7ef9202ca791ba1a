//! A build: from a request to what was built.
//!
//! ```text
//! request      what is asked for
//! definition   the Dockerfile, and where the context is
//! contexts, images, layout, remote, imports
//!              what stages begin with, copy from, and are known by elsewhere
//! stages       which steps are needed, and which of them wait for which
//! perform, run a step is done
//! call         questions about the file
//! built        what came of it
//! ```

mod build;
mod built;
mod call;
mod contexts;
mod definition;
mod fetched;
mod images;
mod imports;
mod keys;
mod layout;
mod once;
mod perform;
mod planning;
pub(crate) mod platform;
mod reading;
mod remote;
mod request;
mod run;
mod stages;

use std::sync::Arc;

use futures_util::future::try_join_all;
use tare_dockerfile::platform::Platform;

pub use built::{Answer, Built, Made, Part};
pub use request::{Allowed, Limits, Request};

use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::Result;
use crate::progress::Journal;
use build::{Build, Client};
use definition::Definition;
use imports::Imports;
use planning::Planned;
use stages::Stages;

/// Builds what is asked for, and tells how it goes. Dropped, the build is cancelled: what it runs is
/// killed, and nothing of it is left but the results of steps that were done by then.
///
/// # Errors
/// Why it can't be built, with the step and the lines where that is known.
pub async fn solve(builder: &Arc<Builder>, request: Request, journal: &Journal) -> Result<Answer> {
    let client = Client::new(builder, request.session.clone());
    let _settles = Settles(Arc::clone(&builder.cache));
    let definition = Definition::read(builder, &client, &request, journal).await?;
    if let Some(question) = request.attrs.call.clone() {
        let build = Build::new(builder, request, journal, client, definition, Imports::default());
        return call::answer(&build, &question).await.map(Answer::Told);
    }
    let imports = Imports::read(builder, &request, journal).await?;
    let platforms = request.platforms();
    let build = Build::new(builder, request, journal, client, definition, imports);
    let parts = platforms
        .iter()
        .enumerate()
        .map(|(place, platform)| Box::pin(build.part(platform.as_ref(), place == 0)));
    let parts = try_join_all(parts).await?;
    Ok(Answer::Built(Built {
        parts,
        multi: build.request.attrs.several_platforms,
        epoch: build.request.attrs.epoch,
        images: build.image_names(),
    }))
}

impl Build {
    /// Builds for one platform. Warnings are the same for all of them.
    async fn part(&self, platform: Option<&Platform>, warns: bool) -> Result<Part> {
        let Planned { plan, images } = self.plan(platform).await?;
        let plan = Arc::new(plan);
        self.journal.planned(&self.definition.file, &plan);
        if warns {
            self.warn(&plan.warnings);
        }
        self.require_allowed(&plan)?;
        Stages::new(self, &plan, &images).run().await
    }
}

/// Has what a build made kept, however the build ends.
struct Settles(Arc<Cache>);

impl Drop for Settles {
    fn drop(&mut self) {
        self.0.settle_soon();
    }
}

//! The services of a gateway: a build's own client says by them what is to be built, looks into
//! results, and at last says which of them the build is to give.

mod caps;
mod files;
mod result;

use std::sync::Arc;

use tare_proto::builds::moby::buildkit::v1::frontend as api;
use tare_proto::builds::moby::buildkit::v1::frontend::llb_bridge_server::LlbBridge;
use tonic::{Request, Response, Status};

use super::jobs::{Job, Outcome, Seeker, Verdict};
use super::{Control, failure, worker};
use crate::error::Error;

/// In which of a call's metadata the build's name is.
const BUILD: &str = "buildkit-controlapi-buildid";

/// The services.
#[derive(Clone)]
pub(super) struct Bridge(pub(super) Arc<Control>);

impl Bridge {
    /// The build that a call is about.
    async fn job<T>(&self, method: &str, request: &Request<T>) -> Result<Arc<Job>, Status> {
        let name = request.metadata().get(BUILD).and_then(|name| name.to_str().ok());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            Status::unknown(format!("forwarding {method}: no buildid found in context"))
        })?;
        self.0.jobs.find(name, Seeker::Gateway).await.map_err(|status| {
            Status::new(status.code(), format!("forwarding {method}: {}", status.message()))
        })
    }
}

/// What a build has made, by its id.
fn outcome(job: &Job, id: &str) -> Result<Outcome, Status> {
    let missing = || failure::status(&Error::not_found(format!("no such ref: {id}")));
    job.outcome(id).ok_or_else(missing)
}

#[tonic::async_trait]
impl LlbBridge for Bridge {
    async fn ping(
        &self,
        request: Request<api::PingRequest>,
    ) -> Result<Response<api::PongResponse>, Status> {
        self.job("Ping", &request).await?;
        Ok(Response::new(api::PongResponse {
            frontend_api_caps: caps::gateway(),
            llb_caps: caps::builds(),
            workers: vec![worker::record(&self.0.builder)],
        }))
    }

    async fn solve(
        &self,
        request: Request<api::SolveRequest>,
    ) -> Result<Response<api::SolveResponse>, Status> {
        let job = self.job("Solve", &request).await?;
        let solved = job.during(result::solve(&self.0, &job, request.into_inner())).await?;
        Ok(Response::new(solved))
    }

    async fn r#return(
        &self,
        request: Request<api::ReturnRequest>,
    ) -> Result<Response<api::ReturnResponse>, Status> {
        let job = self.job("Return", &request).await?;
        let request = request.into_inner();
        let verdict = match (request.error, request.result) {
            (Some(error), _) => Verdict::Failed(error),
            (None, Some(result)) => Verdict::Returned(result),
            (None, None) => {
                return Err(failure::status(&Error::invalid("neither a result nor an error")));
            }
        };
        job.decide(verdict).map_err(|error| failure::status(&error))?;
        Ok(Response::new(api::ReturnResponse {}))
    }

    async fn evaluate(
        &self,
        request: Request<api::EvaluateRequest>,
    ) -> Result<Response<api::EvaluateResponse>, Status> {
        let job = self.job("Evaluate", &request).await?;
        // What there is was made already.
        outcome(&job, &request.into_inner().r#ref)?;
        Ok(Response::new(api::EvaluateResponse {}))
    }

    async fn read_file(
        &self,
        request: Request<api::ReadFileRequest>,
    ) -> Result<Response<api::ReadFileResponse>, Status> {
        let job = self.job("ReadFile", &request).await?;
        let request = request.into_inner();
        let data = files::read(&self.0.builder, outcome(&job, &request.r#ref)?, request).await?;
        Ok(Response::new(api::ReadFileResponse { data }))
    }

    async fn read_dir(
        &self,
        request: Request<api::ReadDirRequest>,
    ) -> Result<Response<api::ReadDirResponse>, Status> {
        let job = self.job("ReadDir", &request).await?;
        let request = request.into_inner();
        let entries = files::list(&self.0.builder, outcome(&job, &request.r#ref)?, request).await?;
        Ok(Response::new(api::ReadDirResponse { entries }))
    }

    async fn stat_file(
        &self,
        request: Request<api::StatFileRequest>,
    ) -> Result<Response<api::StatFileResponse>, Status> {
        let job = self.job("StatFile", &request).await?;
        let request = request.into_inner();
        let stat =
            files::stat(&self.0.builder, outcome(&job, &request.r#ref)?, request.path).await?;
        Ok(Response::new(api::StatFileResponse { stat: Some(stat) }))
    }

    async fn inputs(
        &self,
        request: Request<api::InputsRequest>,
    ) -> Result<Response<api::InputsResponse>, Status> {
        let job = self.job("Inputs", &request).await?;
        Ok(Response::new(api::InputsResponse { definitions: job.inputs.clone() }))
    }

    async fn warn(
        &self,
        request: Request<api::WarnRequest>,
    ) -> Result<Response<api::WarnResponse>, Status> {
        let job = self.job("Warn", &request).await?;
        let warning = request.into_inner();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let detail: Vec<String> = warning.detail.iter().map(|line| text(line)).collect();
        job.journal.warn(&warning.digest, &text(&warning.short), &detail.join("\n"), &warning.url);
        Ok(Response::new(api::WarnResponse {}))
    }

    async fn resolve_image_config(
        &self,
        _: Request<api::ResolveImageConfigRequest>,
    ) -> Result<Response<api::ResolveImageConfigResponse>, Status> {
        Err(Status::unimplemented("ResolveImageConfig: images are resolved by builds alone"))
    }

    async fn resolve_source_meta(
        &self,
        _: Request<api::ResolveSourceMetaRequest>,
    ) -> Result<Response<api::ResolveSourceMetaResponse>, Status> {
        Err(Status::unimplemented("ResolveSourceMeta: sources are resolved by builds alone"))
    }
}

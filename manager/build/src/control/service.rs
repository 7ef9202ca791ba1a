//! The Control service: each call is read, done elsewhere, and answered.

use std::sync::Arc;

use jiff::Timestamp;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::control_server::Control as Api;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::history::{self, Query};
use super::jobs::Seeker;
use super::{Control, cache, failure, session, solve, status, worker};
use crate::error::Result as Outcome;

/// Where an answer says what time it is here, so that clients can make up for their clocks.
const NOW: &str = "buildkit-current-timestamp";

/// The service.
#[derive(Clone)]
pub(super) struct ControlService(pub(super) Arc<Control>);

fn said<T>(outcome: Outcome<T>) -> Result<T, Status> {
    outcome.map_err(|error| failure::status(&error))
}

/// An answer that says what time it is.
fn timed<T>(answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if let Ok(now) = MetadataValue::try_from(Timestamp::now().to_string()) {
        response.metadata_mut().insert(NOW, now);
    }
    response
}

#[tonic::async_trait]
impl Api for ControlService {
    type PruneStream = cache::Records;
    type StatusStream = status::Messages;
    type SessionStream = session::ToClient;
    type ListenBuildHistoryStream = history::Events;

    async fn disk_usage(
        &self,
        request: Request<api::DiskUsageRequest>,
    ) -> Result<Response<api::DiskUsageResponse>, Status> {
        let record = said(cache::usage(&self.0.builder, request.get_ref()).await)?;
        Ok(Response::new(api::DiskUsageResponse { record }))
    }

    async fn prune(
        &self,
        request: Request<api::PruneRequest>,
    ) -> Result<Response<Self::PruneStream>, Status> {
        said(cache::prune(&self.0.builder, request.get_ref()).await).map(Response::new)
    }

    async fn solve(
        &self,
        request: Request<api::SolveRequest>,
    ) -> Result<Response<api::SolveResponse>, Status> {
        let exporter_response = solve::solve(&self.0, request.into_inner()).await?;
        Ok(Response::new(api::SolveResponse { exporter_response }))
    }

    async fn status(
        &self,
        request: Request<api::StatusRequest>,
    ) -> Result<Response<Self::StatusStream>, Status> {
        let name = request.into_inner().r#ref;
        let messages = match self.0.history.told(&name).await {
            Some(told) => status::again(said(told)?),
            None => status::follow(&self.0.jobs.find(&name, Seeker::Follower).await?.journal),
        };
        Ok(timed(messages))
    }

    async fn session(
        &self,
        request: Request<Streaming<api::BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let metadata = request.metadata().clone();
        session::tunnel(&self.0, &metadata, request.into_inner()).map(Response::new)
    }

    async fn list_workers(
        &self,
        _: Request<api::ListWorkersRequest>,
    ) -> Result<Response<api::ListWorkersResponse>, Status> {
        let record = vec![worker::record(&self.0.builder)];
        Ok(Response::new(api::ListWorkersResponse { record }))
    }

    async fn info(
        &self,
        _: Request<api::InfoRequest>,
    ) -> Result<Response<api::InfoResponse>, Status> {
        Ok(Response::new(worker::info()))
    }

    async fn listen_build_history(
        &self,
        request: Request<api::BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        let query = said(Query::read(request.get_ref()))?;
        Ok(timed(self.0.history.listen(query).await))
    }

    async fn update_build_history(
        &self,
        request: Request<api::UpdateBuildHistoryRequest>,
    ) -> Result<Response<api::UpdateBuildHistoryResponse>, Status> {
        let request = request.into_inner();
        if request.delete {
            said(self.0.history.delete(&request.r#ref).await)?;
        } else if !request.finalize {
            // A record is whole as soon as its build is over; there is nothing to finalize.
            said(self.0.history.pin(&request.r#ref, request.pinned).await)?;
        }
        Ok(Response::new(api::UpdateBuildHistoryResponse {}))
    }
}

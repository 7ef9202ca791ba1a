//! The one call that is answered many times.

use tare_proto::tare::shim::v1::WatchRequest;
use tare_proto::tare::shim::v1::supervision_server::{SERVICE_NAME, Supervision};
use tare_proto::ttrpc::{Kind, Request};
use tokio_stream::StreamExt;
use tonic::Status;

use super::Client;
use super::call::argument;
use crate::service::SupervisionService;

/// Whether it is this call.
pub(super) fn is_asked(request: &Request) -> bool {
    (request.service.as_str(), request.method.as_str()) == (SERVICE_NAME, "Watch")
}

/// Tells the client of the container's conditions until there are no more.
pub(super) async fn answer(
    supervision: &SupervisionService,
    request: &Request,
    client: &Client,
) -> Result<(), Status> {
    let wanted: WatchRequest = argument(&request.payload)?;
    let mut conditions = supervision.watch(tonic::Request::new(wanted)).await?.into_inner();
    while let Some(condition) = conditions.next().await {
        let told = client.send(Kind::Data, &condition?).await;
        told.map_err(|error| Status::unavailable(error.to_string()))?;
    }
    Ok(())
}

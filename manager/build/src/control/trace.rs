//! Where clients would send traces to: they are told that nobody collects them here.

use tare_proto::builds::opentelemetry::proto::collector::trace::v1::trace_service_server::TraceService as Api;
use tare_proto::builds::opentelemetry::proto::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::{Request, Response, Status};

/// The trace service.
#[derive(Clone)]
pub(super) struct TraceService;

#[tonic::async_trait]
impl Api for TraceService {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Err(Status::unavailable("trace collector not configured"))
    }
}

//! One connection: HTTP/2 without encryption of its own, and the services on it.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tare_proto::builds::containerd::services::content::v1::content_server::{
    ContentServer, SERVICE_NAME as CONTENT,
};
use tare_proto::builds::grpc::health::v1::health_server::{HealthServer, SERVICE_NAME as HEALTH};
use tare_proto::builds::moby::buildkit::v1::control_server::{
    ControlServer, SERVICE_NAME as CONTROL,
};
use tare_proto::builds::moby::buildkit::v1::frontend::llb_bridge_server::{
    LlbBridgeServer, SERVICE_NAME as BRIDGE,
};
use tare_proto::builds::opentelemetry::proto::collector::trace::v1::trace_service_server::{
    SERVICE_NAME as TRACE, TraceServiceServer,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

use super::Control;
use super::bridge::Bridge;
use super::content::ContentService;
use super::health::HealthService;
use super::service::ControlService;
use super::trace::TraceService;

/// The longest message either way, as `BuildKit` has it.
pub(super) const MAX_MESSAGE: usize = 16 << 20;
/// Calls that one client may have open at a time.
const MAX_STREAMS: u32 = 1000;

/// What a connection can call.
#[derive(Clone)]
struct Services {
    control: ControlServer<ControlService>,
    bridge: LlbBridgeServer<Bridge>,
    content: ContentServer<ContentService>,
    health: HealthServer<HealthService>,
    trace: TraceServiceServer<TraceService>,
}

/// Serves `connection` until its client closes it.
pub(super) async fn serve(
    control: Arc<Control>,
    connection: impl AsyncRead + AsyncWrite + Send + Unpin,
) {
    let services = Services::new(&control);
    let service = service_fn(|request| services.clone().answer(request));
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the builder ended: {error}");
    }
}

/// The same limits for each service.
macro_rules! limited {
    ($server:ident, $service:expr) => {
        $server::new($service)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    };
}

impl Services {
    fn new(control: &Arc<Control>) -> Self {
        Self {
            control: limited!(ControlServer, ControlService(Arc::clone(control))),
            bridge: limited!(LlbBridgeServer, Bridge(Arc::clone(control))),
            content: limited!(ContentServer, ContentService(Arc::clone(control))),
            health: limited!(HealthServer, HealthService),
            trace: limited!(TraceServiceServer, TraceService),
        }
    }

    async fn answer(
        mut self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Infallible> {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        match service.unwrap_or_default() {
            CONTROL => self.control.call(request).await,
            BRIDGE => self.bridge.call(request).await,
            CONTENT => self.content.call(request).await,
            HEALTH => self.health.call(request).await,
            TRACE => self.trace.call(request).await,
            other => Ok(Status::unimplemented(format!("unknown service {other}")).into_http()),
        }
    }
}

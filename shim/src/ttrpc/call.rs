//! From a ttrpc request to a method with one answer.

use std::future::Future;

use prost::Message;
use tare_proto::containerd::task::v3::task_server::Task;
use tare_proto::tare::shim::v1::supervision_server::{SERVICE_NAME as SUPERVISION, Supervision};
use tare_proto::ttrpc::Request;
use tonic::{Response, Status};

use super::Services;
use crate::service::TaskService;

/// The Task API's names: containerd 2 has version 3, before it was 2, with the same messages.
const SERVICES: [&str; 2] = ["containerd.task.v3.Task", "containerd.task.v2.Task"];

/// Calls the method that `request` names; returns its encoded result.
pub(super) async fn dispatch(services: &Services, request: &Request) -> Result<Vec<u8>, Status> {
    let payload = request.payload.as_slice();
    match (request.service.as_str(), request.method.as_str()) {
        (SUPERVISION, "SetRestartPolicy") => {
            let supervision = &services.supervision;
            unary(payload, |argument| supervision.set_restart_policy(argument)).await
        }
        (service, _) if SERVICES.contains(&service) => dispatch_task(&services.task, request).await,
        (SUPERVISION, other) => Err(unknown_method(other)),
        (other, _) => Err(Status::unimplemented(format!("unknown service {other}"))),
    }
}

async fn dispatch_task(task: &TaskService, request: &Request) -> Result<Vec<u8>, Status> {
    let payload = request.payload.as_slice();
    match request.method.as_str() {
        "State" => unary(payload, |argument| task.state(argument)).await,
        "Create" => unary(payload, |argument| task.create(argument)).await,
        "Start" => unary(payload, |argument| task.start(argument)).await,
        "Delete" => unary(payload, |argument| task.delete(argument)).await,
        "Pids" => unary(payload, |argument| task.pids(argument)).await,
        "Pause" => unary(payload, |argument| task.pause(argument)).await,
        "Resume" => unary(payload, |argument| task.resume(argument)).await,
        "Checkpoint" => unary(payload, |argument| task.checkpoint(argument)).await,
        "Kill" => unary(payload, |argument| task.kill(argument)).await,
        "Exec" => unary(payload, |argument| task.exec(argument)).await,
        "ResizePty" => unary(payload, |argument| task.resize_pty(argument)).await,
        "CloseIO" => unary(payload, |argument| task.close_io(argument)).await,
        "Update" => unary(payload, |argument| task.update(argument)).await,
        "Wait" => unary(payload, |argument| task.wait(argument)).await,
        "Stats" => unary(payload, |argument| task.stats(argument)).await,
        "Connect" => unary(payload, |argument| task.connect(argument)).await,
        "Shutdown" => unary(payload, |argument| task.shutdown(argument)).await,
        other => Err(unknown_method(other)),
    }
}

fn unknown_method(name: &str) -> Status {
    Status::unimplemented(format!("unknown method {name}"))
}

async fn unary<Argument, Value, Call>(
    payload: &[u8],
    call: impl FnOnce(tonic::Request<Argument>) -> Call,
) -> Result<Vec<u8>, Status>
where
    Argument: Message + Default,
    Value: Message,
    Call: Future<Output = Result<Response<Value>, Status>>,
{
    let argument = argument(payload)?;
    Ok(call(tonic::Request::new(argument)).await?.into_inner().encode_to_vec())
}

/// What a call is told.
pub(super) fn argument<Argument: Message + Default>(payload: &[u8]) -> Result<Argument, Status> {
    Argument::decode(payload)
        .map_err(|error| Status::invalid_argument(format!("the argument: {error}")))
}

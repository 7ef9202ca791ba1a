//! containerd's Task API: decodes, calls the task, encodes, and maps errors to gRPC's codes.

mod connection;
mod convert;
mod streams;
mod supervision;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use prost_types::Timestamp;
use tare_proto::containerd::task::v3 as api;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};
use crate::io::StdioRequest;
use crate::io::console::Size;
use crate::task::{Checkpoint, CheckpointRequest, CreateRequest, State, Task, TaskOptions, Tasks};
pub(crate) use connection::Connection;
use convert::{deleted, describe, length, process_info};
pub(crate) use streams::StreamsService;
pub(crate) use supervision::SupervisionService;

type Reply<T> = std::result::Result<Response<T>, Status>;

/// The Task API over this shim's tasks.
#[derive(Clone)]
pub(crate) struct TaskService {
    tasks: Arc<Tasks>,
    /// Turns true when the server is to end.
    shutdown: watch::Sender<bool>,
}

impl TaskService {
    /// Serves `tasks`; a Shutdown is told through `shutdown`.
    pub(crate) fn new(tasks: Arc<Tasks>, shutdown: watch::Sender<bool>) -> Self {
        TaskService { tasks, shutdown }
    }

    /// Does `work` with a task, to its end, even if its caller goes away half way.
    async fn with_task<T: Send + 'static, W>(
        &self,
        id: &str,
        work: impl FnOnce(Arc<Task>) -> W,
    ) -> Reply<T>
    where
        W: Future<Output = Result<T>> + Send + 'static,
    {
        finish(work(self.tasks.get(id)?)).await
    }
}

/// Runs `work` as a task of its own, so that a caller's going away doesn't cut it off.
async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Reply<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?
        .map(Response::new)
        .map_err(Status::from)
}

#[tonic::async_trait]
impl api::task_server::Task for TaskService {
    async fn state(&self, request: Request<api::StateRequest>) -> Reply<api::StateResponse> {
        let request = request.into_inner();
        let task = self.tasks.get(&request.id)?;
        let run = task.run();
        let reply = if request.exec_id.is_empty() {
            describe(&task, &run, &request.id, &run.init)
        } else {
            let exec = run.exec(&request.exec_id)?;
            describe(&task, &run, &request.exec_id, &exec.process)
        };
        Ok(Response::new(reply))
    }

    async fn create(
        &self,
        request: Request<api::CreateTaskRequest>,
    ) -> Reply<api::CreateTaskResponse> {
        let request = request.into_inner();
        let options = TaskOptions::read(request.options.as_ref(), self.tasks.namespace())?;
        let (images, parent) = (&request.checkpoint, &request.parent_checkpoint);
        let checkpoint = Checkpoint::read(images, parent, &options.criu_images)?;
        let request = CreateRequest {
            id: request.id,
            bundle: PathBuf::from(request.bundle),
            rootfs: request.rootfs,
            stdio: StdioRequest {
                terminal: request.terminal,
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
            },
            checkpoint,
            options,
        };
        let tasks = Arc::clone(&self.tasks);
        finish(async move {
            let task = tasks.create(request).await?;
            Ok(api::CreateTaskResponse { pid: task.run().init.state().pid() })
        })
        .await
    }

    async fn start(&self, request: Request<api::StartRequest>) -> Reply<api::StartResponse> {
        let api::StartRequest { id, exec_id } = request.into_inner();
        self.with_task(&id, |task| async move {
            let pid = if exec_id.is_empty() {
                task.start().await?
            } else {
                task.start_exec(&exec_id).await?
            };
            Ok(api::StartResponse { pid })
        })
        .await
    }

    async fn delete(&self, request: Request<api::DeleteRequest>) -> Reply<api::DeleteResponse> {
        let api::DeleteRequest { id, exec_id } = request.into_inner();
        if !exec_id.is_empty() {
            return self
                .with_task(
                    &id,
                    |task| async move { Ok(deleted(task.delete_exec(&exec_id).await?)) },
                )
                .await;
        }
        let tasks = Arc::clone(&self.tasks);
        finish(async move {
            let (pid, exit) = tasks.delete(&id).await?;
            Ok(deleted(State::Stopped { pid, exit }))
        })
        .await
    }

    async fn pids(&self, request: Request<api::PidsRequest>) -> Reply<api::PidsResponse> {
        self.with_task(&request.into_inner().id, |task| async move {
            let pids = task.pids().await?;
            let execs = task.run().execs();
            let processes = pids.into_iter().map(|pid| process_info(pid, &execs)).collect();
            Ok(api::PidsResponse { processes })
        })
        .await
    }

    async fn pause(&self, request: Request<api::PauseRequest>) -> Reply<()> {
        let id = request.into_inner().id;
        self.with_task(&id, |task| async move { task.pause().await }).await
    }

    async fn resume(&self, request: Request<api::ResumeRequest>) -> Reply<()> {
        let id = request.into_inner().id;
        self.with_task(&id, |task| async move { task.resume().await }).await
    }

    async fn checkpoint(&self, request: Request<api::CheckpointTaskRequest>) -> Reply<()> {
        let api::CheckpointTaskRequest { id, path, options } = request.into_inner();
        let request = CheckpointRequest::read(&path, options.as_ref())?;
        self.with_task(&id, |task| async move { task.checkpoint(&request).await }).await
    }

    async fn kill(&self, request: Request<api::KillRequest>) -> Reply<()> {
        let api::KillRequest { id, exec_id, signal, all } = request.into_inner();
        self.with_task(&id, move |task| async move {
            if exec_id.is_empty() {
                task.kill(signal, all).await
            } else {
                task.run().exec(&exec_id)?.kill(signal)
            }
        })
        .await
    }

    async fn exec(&self, request: Request<api::ExecProcessRequest>) -> Reply<()> {
        let request = request.into_inner();
        let spec = request.spec.ok_or_else(|| Error::invalid("Exec needs a spec"))?;
        let stdio = StdioRequest {
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        self.tasks.get(&request.id)?.add_exec(&request.exec_id, stdio, &spec.value)?;
        Ok(Response::new(()))
    }

    async fn resize_pty(&self, request: Request<api::ResizePtyRequest>) -> Reply<()> {
        let request = request.into_inner();
        let size = Size { width: length(request.width)?, height: length(request.height)? };
        let run = self.tasks.get(&request.id)?.run();
        if request.exec_id.is_empty() {
            run.init.io.resize(size)?;
        } else {
            run.exec(&request.exec_id)?.process.io.resize(size)?;
        }
        Ok(Response::new(()))
    }

    async fn close_io(&self, request: Request<api::CloseIoRequest>) -> Reply<()> {
        let request = request.into_inner();
        let run = self.tasks.get(&request.id)?.run();
        if request.stdin && request.exec_id.is_empty() {
            run.init.io.close_stdin();
        } else if request.stdin {
            run.exec(&request.exec_id)?.process.io.close_stdin();
        }
        Ok(Response::new(()))
    }

    async fn update(&self, request: Request<api::UpdateTaskRequest>) -> Reply<()> {
        let request = request.into_inner();
        let resources =
            request.resources.ok_or_else(|| Error::invalid("Update needs resources"))?;
        self.with_task(&request.id, |task| async move { task.update(&resources.value).await }).await
    }

    async fn wait(&self, request: Request<api::WaitRequest>) -> Reply<api::WaitResponse> {
        let request = request.into_inner();
        let run = self.tasks.get(&request.id)?.run();
        let exit = if request.exec_id.is_empty() {
            run.init.wait().await?
        } else {
            run.exec(&request.exec_id)?.process.wait().await?
        };
        Ok(Response::new(api::WaitResponse {
            exit_status: exit.status,
            exited_at: Some(Timestamp::from(exit.at)),
        }))
    }

    async fn stats(&self, request: Request<api::StatsRequest>) -> Reply<api::StatsResponse> {
        let stats = self.tasks.get(&request.into_inner().id)?.stats()?;
        Ok(Response::new(api::StatsResponse { stats: Some(stats) }))
    }

    async fn connect(&self, request: Request<api::ConnectRequest>) -> Reply<api::ConnectResponse> {
        let task = self.tasks.get(&request.into_inner().id).ok();
        Ok(Response::new(api::ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: task.map_or(0, |task| task.run().init.state().pid()),
            version: "3".to_owned(),
        }))
    }

    async fn shutdown(&self, request: Request<api::ShutdownRequest>) -> Reply<()> {
        if request.into_inner().now || self.tasks.is_empty() {
            self.shutdown.send_replace(true);
        }
        Ok(Response::new(()))
    }
}

//! Containers: their records, what can be done with them, and what is done when they end.

pub mod attachment;
pub mod config;
pub mod host_config;
pub mod id;
pub mod modes;
pub mod mount;
pub mod options;
pub mod ports;
pub mod record;
pub mod resources;
pub mod signal;
pub mod state;

#[cfg(test)]
mod fixture;
mod merge;
mod name;
mod settle;
pub(crate) mod spec;

use std::sync::Arc;

use futures_util::Stream;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::store::Store;

pub use attachment::{Attachment, InputSender};
pub use config::ContainerConfig;
pub use host_config::{HostConfig, LogConfig, RestartPolicy, TerminalSize};
pub use id::ContainerId;
pub use modes::{CgroupnsMode, IpcMode, NetworkMode, PidMode, UtsMode};
pub use mount::{Bind, BindSource, MountKind, MountRequest, Propagation};
pub use options::{
    AttachOptions, Create, Created, ExecConfig, ExecStart, ExecState, ExitOutcome, LogLine,
    LogOptions, Output, OutputStream, RemoveOptions, StopOptions, Top, WaitCondition,
};
pub use ports::{HostPort, Port, PortBinding, Protocol};
pub use record::{Container, MountPoint, MountSource, ReadOnlyReach};
pub use resources::{DeviceMapping, Resources, Ulimit};
pub use signal::Signal;
pub use state::{Exit, Life, StartFailure, State};

/// The containers of one manager.
pub struct Containers {
    config: Arc<Config>,
    store: Arc<Store>,
    events: Arc<Events>,
}

/// What containers are made of.
pub struct Parts {
    /// Settings.
    pub config: Arc<Config>,
    /// Records.
    pub store: Arc<Store>,
    /// Where to say what happens.
    pub events: Arc<Events>,
}

impl Containers {
    /// Takes over what the store and the machine know of containers.
    pub async fn open(parts: Parts) -> Result<Arc<Self>> {
        let Parts { config, store, events } = parts;
        Ok(Arc::new(Self { config, store, events }))
    }

    /// Makes a container.
    pub async fn create(&self, request: Create) -> Result<Created> {
        let _ = (request, &self.config, &self.store, &self.events);
        Err(Error::unsupported("create"))
    }

    /// All containers as they are now, in no order.
    pub fn list(&self) -> Vec<Arc<Container>> {
        Vec::new()
    }

    /// The container with this name, id or unambiguous beginning of an id.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>> {
        Err(Error::not_found(format!("No such container: {reference}")))
    }

    /// Starts a container.
    pub async fn start(self: &Arc<Self>, _id: &ContainerId) -> Result<()> {
        Err(Error::unsupported("start"))
    }

    /// Stops a container.
    pub async fn stop(&self, _id: &ContainerId, _options: StopOptions) -> Result<()> {
        Err(Error::unsupported("stop"))
    }

    /// Sends a signal.
    pub async fn kill(&self, _id: &ContainerId, _signal: Signal) -> Result<()> {
        Err(Error::unsupported("kill"))
    }

    /// Stops and starts.
    pub async fn restart(self: &Arc<Self>, _id: &ContainerId, _o: StopOptions) -> Result<()> {
        Err(Error::unsupported("restart"))
    }

    /// Freezes its processes.
    pub async fn pause(&self, _id: &ContainerId) -> Result<()> {
        Err(Error::unsupported("pause"))
    }

    /// Lets them go on.
    pub async fn unpause(&self, _id: &ContainerId) -> Result<()> {
        Err(Error::unsupported("unpause"))
    }

    /// Gives it another name.
    pub async fn rename(&self, _id: &ContainerId, _name: &str) -> Result<()> {
        Err(Error::unsupported("rename"))
    }

    /// Waits; registers when it is called, not when the future is first polled.
    pub fn wait(
        &self,
        _id: &ContainerId,
        _condition: WaitCondition,
    ) -> Result<impl Future<Output = Result<ExitOutcome>> + Send + use<>> {
        Ok(async { Err(Error::unsupported("wait")) })
    }

    /// Takes a container away.
    pub async fn remove(&self, _id: &ContainerId, _options: RemoveOptions) -> Result<()> {
        Err(Error::unsupported("remove"))
    }

    /// Tells the container's terminal its size.
    pub async fn resize(&self, _id: &ContainerId, _size: TerminalSize) -> Result<()> {
        Err(Error::unsupported("resize"))
    }

    /// Lists its processes.
    pub async fn top(&self, _id: &ContainerId, _ps_args: &str) -> Result<Top> {
        Err(Error::unsupported("top"))
    }

    /// Connects to its standard streams; before it is started too.
    pub async fn attach(&self, _id: &ContainerId, _options: AttachOptions) -> Result<Attachment> {
        Err(Error::unsupported("attach"))
    }

    /// Reads its log.
    pub async fn logs(
        &self,
        _id: &ContainerId,
        _options: LogOptions,
    ) -> Result<impl Stream<Item = Result<LogLine>> + Send + use<>> {
        Ok(futures_util::stream::empty())
    }

    /// Prepares a process to run in a running container; gives its id.
    pub async fn exec_create(&self, _id: &ContainerId, _config: ExecConfig) -> Result<String> {
        Err(Error::unsupported("exec"))
    }

    /// Starts it; an attachment unless detached.
    pub async fn exec_start(
        self: &Arc<Self>,
        _exec: &str,
        _start: ExecStart,
    ) -> Result<Option<Attachment>> {
        Err(Error::unsupported("exec"))
    }

    /// What is known of it.
    pub fn exec_inspect(&self, exec: &str) -> Result<ExecState> {
        Err(Error::not_found(format!("No such exec instance: {exec}")))
    }

    /// Tells its terminal its size.
    pub async fn exec_resize(&self, _exec: &str, _size: TerminalSize) -> Result<()> {
        Err(Error::unsupported("exec"))
    }
}

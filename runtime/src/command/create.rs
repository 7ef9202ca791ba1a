//! `create`: make a container whose program waits for `start`.

use super::{Global, failed, streams};
use crate::container::bundle::Bundle;
use crate::container::create::{CreateRequest, Start, create};
use crate::container::id::ContainerId;
use crate::container::notify::Supervisor;
use crate::error::{Context, Result};
use crate::init::launch::Streams;
use crate::log::Level;
use std::path::PathBuf;

/// create a container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
}

/// What `create` and `run` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// path to the root of the bundle directory, defaults to the current directory
    #[arg(long, short)]
    pub(super) bundle: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of
    /// the console's pseudoterminal
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the init process
    #[arg(long)]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// specify the file to write the process id to
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// do not use pivot root to jail process inside rootfs. This should be used whenever the rootfs
    /// is on top of a ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// do not create a new session keyring for the container. This will cause the container to
    /// inherit the calling processes session key
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)
    #[arg(long, default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// the new container's id
    pub(super) container_id: String,
}

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<()> {
    create_and_leave(global, arguments.common).context(failed("create"))
}

fn create_and_leave(global: &Global, mut common: Common) -> Result<()> {
    common.make_absolute()?;
    let mut request = common.request(global, Start::Later)?;
    let terminal = request.bundle.process()?.terminal().unwrap_or(false);
    streams::check_terminal(terminal, streams::Stay::Detached, common.console_socket.as_ref())?;
    request.console = common.console_socket.as_deref().map(streams::connect_unix).transpose()?;
    let prepared = create(request)?;
    if let Some(socket) = &common.pidfd_socket {
        streams::send_pidfd(socket, prepared.pidfd()?, "standard")?;
    }
    if let Some(file) = &common.pid_file {
        streams::write_pid_file(file, prepared.record().init.pid)?;
    }
    prepared.leave()
}

impl Common {
    /// Makes the paths absolute, before the bundle becomes the working directory.
    pub(super) fn make_absolute(&mut self) -> Result<()> {
        for path in [&mut self.console_socket, &mut self.pidfd_socket, &mut self.pid_file] {
            *path = streams::absolute(path.take())?;
        }
        Ok(())
    }

    /// The request, without a terminal yet.
    pub(super) fn request<'a>(
        &self,
        global: &'a Global,
        start: Start,
    ) -> Result<CreateRequest<'a>> {
        let id = ContainerId::parse(&self.container_id)?;
        let mut bundle = Bundle::enter(self.bundle.as_deref().unwrap_or(".".as_ref()))?;
        for warning in &bundle.warnings {
            global.log.write(Level::Warning, warning);
        }
        let supervisor = Supervisor::of_caller();
        if supervisor.is_some() {
            Supervisor::arrange(&mut bundle.spec, &global.root.join(id.as_str()))?;
        }
        let (listen_fds, extra_env) = streams::listen_fds();
        let preserve_fds = listen_fds.saturating_add(self.preserve_fds);
        streams::check_preserved(preserve_fds)?;
        Ok(CreateRequest {
            root: &global.root,
            id,
            bundle,
            start,
            systemd_cgroup: global.systemd_cgroup,
            rootless: global.rootless,
            log: &global.log,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds,
            extra_env,
            supervisor,
            console: None,
            streams: Streams::Container,
        })
    }
}

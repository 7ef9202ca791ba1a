//! `checkpoint` and `restore`: a container's processes written to files, and made of them again.

use std::path::Path;

use rustix::process::Pid;
use tare_proto::containerd::runc::v1::CheckpointOptions;

use super::Runtime;
use crate::error::Result;
use crate::io::ChildStdio;
use crate::reaper::Launch;

impl Runtime {
    /// `checkpoint`: writes the container's processes to files in `images`; the writer's own files,
    /// such as its log, go to `work`.
    pub(crate) async fn checkpoint(
        &self,
        launch: &Launch,
        images: &Path,
        work: &Path,
        options: &CheckpointOptions,
    ) -> Result<()> {
        let mut call = self.call("checkpoint");
        call.option("--image-path", images);
        call.option("--work-path", work);
        let flags = [
            (!options.exit, "--leave-running"),
            (options.open_tcp, "--tcp-established"),
            (options.external_unix_sockets, "--ext-unix-sk"),
            (options.terminal, "--shell-job"),
            (options.file_locks, "--file-locks"),
        ];
        for (_, flag) in flags.into_iter().filter(|(wanted, _)| *wanted) {
            call.flag(flag);
        }
        for namespace in &options.empty_namespaces {
            call.option("--empty-ns", namespace);
        }
        if !options.cgroups_mode.is_empty() {
            call.option("--manage-cgroups-mode", &options.cgroups_mode);
        }
        if !options.parent_path.is_empty() {
            call.option("--parent-path", &options.parent_path);
        }
        call.flag(&self.container);
        call.run(launch).await.map(drop)
    }

    /// `restore`: makes the container of such files, running, with `stdio` as its init's streams
    /// (the terminal comes over `console` instead), and returns the init's pid.
    ///
    /// What had to be allowed when the files were written (connections, locks) is in them, or isn't:
    /// it need not be allowed a second time.
    pub(crate) async fn restore(
        &self,
        launch: &Launch,
        images: &Path,
        work: &Path,
        stdio: ChildStdio,
        console: Option<&Path>,
    ) -> Result<Pid> {
        let mut call = self.call("restore");
        call.option("--image-path", images);
        call.option("--work-path", work);
        call.option("--bundle", &self.bundle);
        for flag in ["--detach", "--tcp-established", "--ext-unix-sk", "--file-locks"] {
            call.flag(flag);
        }
        if let Some(console) = console {
            call.option("--console-socket", console);
        }
        if self.config.no_pivot {
            call.flag("--no-pivot");
        }
        self.make(launch, call, stdio).await
    }
}

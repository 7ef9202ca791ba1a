//! The host's `git`, told to believe nothing that stands in files and to ask nobody.

use std::path::Path;
use std::process::{Output, Stdio};

use tare_core::registry::Proxies;
use tokio::process::{Child, Command};

use crate::error::{Error, Result};

/// Protocols that repositories, and those that they name, are fetched by.
const PROTOCOLS: &str = "http:https:ssh:git";
/// The most of what it says that is told.
const LONGEST: usize = 8 << 10;

/// How git is run.
#[derive(Debug, Clone)]
pub(super) struct Git {
    /// Settings, that nobody sees among the arguments of processes.
    settings: Vec<(String, String)>,
    variables: Vec<(&'static str, String)>,
}

impl Git {
    pub(super) fn new(proxies: &Proxies) -> Self {
        let settings = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("init.defaultBranch", "master"),
            ("init.templateDir", ""),
            ("advice.detachedHead", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("safe.directory", "*"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let proxies = [
            ("http_proxy", &proxies.http),
            ("https_proxy", &proxies.https),
            ("no_proxy", &proxies.without),
        ];
        let proxies = proxies.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        Self { settings, variables: proxies.collect() }
    }

    /// With one setting more.
    pub(super) fn set(&mut self, name: String, value: String) {
        self.settings.push((name, value));
    }

    /// With this socket of an ssh agent.
    pub(super) fn use_agent(&mut self, socket: &Path) {
        self.variables.push(("SSH_AUTH_SOCK", socket.display().to_string()));
    }

    /// Runs a command in `directory`; gives what it prints.
    pub(super) async fn run(&self, directory: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs([
            ("HOME", "/dev/null"),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", PROTOCOLS),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ]);
        command.env(
            "GIT_SSH_COMMAND",
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        );
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (name, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // It has helpers, which end with it.
        command.process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::unsupported(
                "a repository: there is no program git on this host (install git)",
            ),
            _ => Error::io("run git", error),
        })?;
        let output = Group::of(&child).watch(child).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = &output.stderr[output.stderr.len().saturating_sub(LONGEST)..];
        let (said, status) = (String::from_utf8_lossy(said), output.status);
        Err(Error::system(match status.code() {
            Some(code) => format!("git stderr:\n{said}: exit status {code}"),
            None => format!("git stderr:\n{said}: {status}"),
        }))
    }
}

/// A process and those that it began. Dropped, they are killed.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(rustix::process::Pid::from_raw))
    }

    /// Waits for its end.
    async fn watch(mut self, child: Child) -> Result<Output> {
        let output = child.wait_with_output().await;
        // From here on its number may be another's.
        self.0 = None;
        output.map_err(|error| Error::io("run git", error))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

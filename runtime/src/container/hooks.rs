//! Programs that the bundle wants run at certain points of a container's life.

use super::hook_process::{self, Ended};
use super::record::{Record, to_json};
use super::status::Status;
use crate::error::{Context, Error, Kind, Result};
use crate::linux::system::signal_name;
use crate::log::{Level, Log};
use oci_spec::runtime::{Hook, Hooks};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a hook gets that does not say its own environment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DefaultEnv<'a> {
    /// The runtime's own.
    Inherit,
    /// These `NAME=value` entries.
    These(&'a [String]),
}

/// Runs the hooks of the point called `point`, in order, each with `state` on its standard input.
/// The first that fails ends the row.
pub(crate) fn run(point: &str, hooks: &[Hook], state: &str, env: DefaultEnv<'_>) -> Result<()> {
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, state, env).context(|| format!("error running {point} hook #{number}"))?;
    }
    Ok(())
}

/// Runs the hooks that follow a container's end. One that fails is warned of, and the others run all
/// the same: the container is gone, whatever they do.
pub(crate) fn run_poststop(hooks: &[Hook], record: &Record, log: &Log) {
    if hooks.is_empty() {
        return;
    }
    let warn = |error: Error| log.write(Level::Warning, &error.to_string());
    match record.oci_state(Status::Stopped, 0).and_then(|state| to_json(&state)) {
        Err(error) => warn(error),
        Ok(state) => {
            for (number, hook) in hooks.iter().enumerate() {
                let ran = run_one(hook, &state, DefaultEnv::Inherit);
                if let Err(error) = ran.context(|| format!("error running poststop hook #{number}"))
                {
                    warn(error);
                }
            }
        }
    }
}

/// Refuses hooks that cannot be run as they are described.
pub(crate) fn check(hooks: &Hooks) -> Result<()> {
    let points = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (point, list) in points {
        for (number, hook) in list.iter().flatten().enumerate() {
            if !hook.path().is_absolute() {
                return Err(Error::invalid(format!(
                    "{point} hook #{number}: path {:?} is not absolute",
                    hook.path()
                )));
            }
            if let Some(timeout) = hook.timeout().filter(|seconds| *seconds <= 0) {
                return Err(Error::invalid(format!(
                    "{point} hook #{number}: timeout {timeout} is not greater than zero"
                )));
            }
        }
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &str, env: DefaultEnv<'_>) -> Result<()> {
    let path = hook.path();
    let mut command = Command::new(path);
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    set_environment(&mut command, hook, env)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| format!("exec {}", path.display()))?;
    let seconds = hook.timeout().map(i64::unsigned_abs);
    match hook_process::attend(&mut child, state, seconds.map(Duration::from_secs))? {
        Ended::ByItself { status, .. } if status.success() => Ok(()),
        Ended::ByItself { status, stdout, stderr } => Err(Error::new(
            Kind::System,
            format!("{}, stdout: {stdout}, stderr: {stderr}", describe(status)),
        )),
        Ended::OutOfTime => Err(Error::new(
            Kind::System,
            format!("hook ran past specified timeout of {}s", seconds.unwrap_or(0)),
        )),
    }
}

fn set_environment(command: &mut Command, hook: &Hook, env: DefaultEnv<'_>) -> Result<()> {
    let own = hook.env().as_deref().filter(|entries| !entries.is_empty());
    let entries = match (own, env) {
        (Some(entries), _) | (None, DefaultEnv::These(entries)) => entries,
        (None, DefaultEnv::Inherit) => return Ok(()),
    };
    command.env_clear();
    for entry in entries {
        let (name, value) =
            entry.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Error::invalid(format!("hook environment entry {entry:?} is not NAME=value"))
            })?;
        command.env(name, value);
    }
    Ok(())
}

fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}", signal_name(signal)),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::HookBuilder;
    use std::time::Instant;

    fn shell(script: &str) -> HookBuilder {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        HookBuilder::default().path("/bin/sh").args(args)
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_own_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("{{ cat; echo; echo $A-$HOME; }} > {}", file.path().display());
        let hook = shell(&script).env(vec!["A=b".to_owned()]).build().unwrap();
        run("prestart", &[hook], "{\"id\":1}", DefaultEnv::Inherit).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "{\"id\":1}\nb-\n");
    }

    #[test]
    fn a_hook_that_a_signal_ends_tells_which() {
        let hook = shell("kill -SYS $$").build().unwrap();
        let error = run("startContainer", &[hook], "{}", DefaultEnv::Inherit).unwrap_err();
        assert!(error.to_string().contains("hook #0: signal: bad system call"), "{error}");
    }

    #[test]
    fn a_failing_hook_tells_what_it_wrote() {
        let hook = shell("echo out; echo err >&2; exit 3").build().unwrap();
        let error = run("poststart", &[hook], "{}", DefaultEnv::Inherit).unwrap_err();
        assert_eq!(
            error.to_string(),
            "error running poststart hook #0: exit status 3, stdout: out, stderr: err"
        );
    }

    /// A pipe holds 64 KiB: neither side waits for the other to read.
    #[test]
    fn a_hook_may_write_much_and_read_nothing() {
        let loud = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let state = "x".repeat(300_000);
        let hook = shell(loud).build().unwrap();
        run("prestart", &[hook], &state, DefaultEnv::Inherit).unwrap();
        let script = format!("{loud}; [ $(wc -c) = 300000 ]; exit $?");
        let hook = shell(&script).build().unwrap();
        run("prestart", &[hook], &state, DefaultEnv::Inherit).unwrap();
        let hook = shell(&format!("{loud}; exit 3")).build().unwrap();
        let error = run("prestart", &[hook], &state, DefaultEnv::Inherit).unwrap_err();
        assert!(error.to_string().contains("exit status 3"), "{error}");
        assert!(error.to_string().len() < 20_000, "only the beginning is told");
    }

    /// It has ended, though its pipes are still open in a process that it left behind.
    #[test]
    fn a_hook_is_not_waited_for_longer_than_it_runs() {
        let begin = Instant::now();
        let hook = shell("sleep 300 & echo $! >&2; exit 3").build().unwrap();
        let error = run("prestart", &[hook], "{}", DefaultEnv::Inherit).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(100));
        let left = error.rsplit(' ').next().unwrap().parse().unwrap();
        let left = rustix::process::Pid::from_raw(left).unwrap();
        rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn a_hook_with_all_the_time_of_the_world_is_waited_for() {
        for seconds in [i64::MAX, i64::MAX / 2] {
            let hook = shell("exit 0").timeout(seconds).build().unwrap();
            run("prestart", &[hook], "{}", DefaultEnv::Inherit).unwrap();
        }
    }

    #[test]
    fn a_hook_that_hangs_is_ended() {
        let hook = shell("exec sleep 300").timeout(1).build().unwrap();
        let begin = Instant::now();
        let error = run("prestart", &[hook], "{}", DefaultEnv::Inherit).unwrap_err();
        assert!(error.to_string().ends_with("hook ran past specified timeout of 1s"));
        assert!(begin.elapsed() < Duration::from_secs(100));
    }
}

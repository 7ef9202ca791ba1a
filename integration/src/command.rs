//! Commands that a test runs, and what came of them.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal};

use crate::wait::{until, until_true};

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command as a person would type it.
    pub command: String,
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Ran {
    /// Requires success; gives the output without the white space at its ends.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "it should have succeeded: {self:#?}");
        self.stdout.trim()
    }

    /// [`Ran::ok`], with the white space.
    #[track_caller]
    pub fn ok_untrimmed(&self) -> &str {
        self.ok();
        &self.stdout
    }

    /// Requires this exit code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "another exit code: {self:#?}");
        self
    }

    /// Requires exactly this output.
    #[track_caller]
    pub fn stdout(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "other output: {self:#?}");
        self
    }

    /// Requires that the output has this text in it.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "{text:?} is not in the output: {self:#?}");
        self
    }

    /// Requires that the error output has this text in it, in upper or lower case.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        self.stderr_has_one_of(&[text])
    }

    /// Requires that the error output has one of these texts in it, in upper or lower case.
    #[track_caller]
    pub fn stderr_has_one_of(&self, texts: &[&str]) -> &Self {
        let stderr = self.stderr.to_lowercase();
        let found = texts.iter().any(|text| stderr.contains(&text.to_lowercase()));
        assert!(found, "none of {texts:?} is in the error output: {self:#?}");
        self
    }

    /// The lines of the output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// A command that runs while the test goes on. It is killed when this is dropped.
pub struct Running {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Collected,
    stderr: Collected,
}

impl Running {
    /// Starts it with pipes at all three ends.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let text = spoken(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {text}: {error}"));
        let stdout = Collected::from(child.stdout.take().expect("it is piped"));
        let stderr = Collected::from(child.stderr.take().expect("it is piped"));
        Self { command: text, stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Writes to its standard input.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("write to its input");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to its standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until its standard output has this text in it.
    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) {
        let what = format!("{text:?} in the output of {}", self.command);
        until_true(&what, || self.stdout.text().contains(text));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signal a child");
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look after a child").is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        self.stdin = None;
        let what = format!("the end of {}", self.command);
        let status = until(&what, || self.child.try_wait().expect("look after a child"));
        Ran {
            command: self.command.clone(),
            code: code_of(status),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_all(Pid::from_child(&self.child));
        }
        let _ = self.child.wait();
    }
}

/// Kills a process and those that it has started: a shell's would not notice its end.
fn kill_all(process: Pid) {
    let path = format!("/proc/{0}/task/{0}/children", process.as_raw_nonzero());
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.filter_map(Pid::from_raw).for_each(kill_all);
    let _ = rustix::process::kill_process(process, Signal::KILL);
}

/// Runs a command to its end, with no input.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    Running::start(command).wait()
}

/// Runs a command to its end with `input` as its standard input.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut running = Running::start(command);
    let stdin = running.stdin.as_mut().expect("its input is open");
    // A command that ends without reading all of its input is no failure of the test's.
    let _ = stdin.write_all(input);
    running.close_stdin();
    running.wait()
}

/// The exit code as a shell gives it.
fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// A command line without the way into the namespaces.
fn spoken(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let typed = words.iter().position(|word| word == "--").map_or(0, |dashes| dashes + 1);
    words[typed..].join(" ").trim_start_matches("sh -c exec ").to_owned()
}

/// What a stream has given so far, read by a thread of its own.
struct Collected {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                shared.lock().expect("no thread panics with it").extend(&buffer[..count]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("no thread panics with it")).into_owned()
    }

    /// Everything, once the stream has ended. A grandchild that keeps the stream open would hold
    /// this up for ever, so it has the usual deadline.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            until_true("the end of a command's output", || reader.is_finished());
        }
        self.text()
    }
}

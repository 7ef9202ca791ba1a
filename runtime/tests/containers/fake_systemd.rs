//! What systemd does for a container, as far as a caller can see it: D-Bus on a socket, scopes in
//! the cgroups that systemd makes itself.

use crate::user::hierarchies;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Who takes calls at the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    /// systemd itself.
    Directly,
    /// A bus that passes them on.
    BehindBus,
}

/// systemd, until it is dropped.
pub(crate) struct FakeSystemd {
    /// The first part of the name of slices that are this test's alone.
    pub(crate) slice: String,
    calls: Calls,
}

/// The calls so far: the method, and what of its arguments is text.
type Calls = Arc<Mutex<Vec<(String, String)>>>;

impl FakeSystemd {
    /// Listens at `socket`; what it makes belongs to `owner`.
    pub(crate) fn start(socket: &Path, listens: Listens, owner: u32) -> FakeSystemd {
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let calls = Calls::default();
        let slice = format!("taretest{}", std::process::id());
        let record = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let record = Arc::clone(&record);
                let mut talk =
                    Conversation { stream: BufReader::new(stream.unwrap()), owner, record };
                // A caller that leaves ends the conversation.
                std::thread::spawn(move || talk.hold(listens));
            }
        });
        FakeSystemd { slice, calls }
    }

    /// The arguments of all calls of `member`, as text.
    pub(crate) fn told(&self, member: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == member).map(|(_, text)| text.clone()).collect()
    }
}

impl Drop for FakeSystemd {
    fn drop(&mut self) {
        for mount in hierarchies() {
            let slice = mount.join(format!("{}.slice", self.slice));
            for scope in scopes_below(&slice) {
                stop(&scope);
            }
            let _ = fs::remove_dir(slice.join(format!("{}-inner.slice", self.slice)));
            let _ = fs::remove_dir(slice);
        }
    }
}

fn scopes_below(slice: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(slice).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().and_then(|end| end.to_str()) {
            Some("scope") => found.push(path),
            Some("slice") => found.extend(scopes_below(&path)),
            _ => {}
        }
    }
    found
}

struct Conversation {
    stream: BufReader<UnixStream>,
    owner: u32,
    record: Calls,
}

impl Conversation {
    fn hold(&mut self, listens: Listens) -> std::io::Result<()> {
        let mut zero = [0];
        self.stream.read_exact(&mut zero)?;
        for (asked, answer) in
            [("AUTH EXTERNAL\r\n", "DATA\r\n"), ("DATA\r\n", "OK 1234\r\n"), ("BEGIN\r\n", "")]
        {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            assert_eq!(line, asked);
            self.stream.get_mut().write_all(answer.as_bytes())?;
        }
        let mut is_greeted = listens == Listens::Directly;
        loop {
            let message = self.receive()?;
            let member = fields(&message);
            is_greeted |= member == "Hello";
            assert!(is_greeted, "a bus throws out who does not greet it: {member}");
            let body = body(&message);
            let text = printable(body);
            // What it does is over before it answers, as a caller may see it.
            self.carry_out(&member, body);
            self.record.lock().unwrap().push((member, text));
            let serial = u32::from_le_bytes(message[8..12].try_into().unwrap());
            self.stream.get_mut().write_all(&returned(serial))?;
        }
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut message = vec![0; 16];
        self.stream.read_exact(&mut message)?;
        let number =
            |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap()) as usize;
        let rest = number(12).next_multiple_of(8) + number(4);
        let mut tail = vec![0; rest];
        self.stream.read_exact(&mut tail)?;
        message.extend(tail);
        Ok(message)
    }

    fn carry_out(&self, member: &str, body: &[u8]) {
        let unit = || string_at(body, 0);
        match member {
            "StartTransientUnit" => {
                let slice = string_at(body, after(body, b"Slice\0\x01s\0"));
                let scope = expand(&slice).join(unit());
                let at = after(body, b"PIDs\0\x02au\0").next_multiple_of(4);
                let pid = u32::from_le_bytes(body[at + 4..at + 8].try_into().unwrap());
                self.make(&scope, pid);
            }
            "AttachProcessesToUnit" => {
                let at = body.len() - 4;
                let pid = u32::from_le_bytes(body[at..].try_into().unwrap());
                for mount in used_by_systemd() {
                    for scope in scopes_below(&mount.join(format!("{}.slice", own_slice()))) {
                        fs::write(scope.join("cgroup.procs"), pid.to_string()).unwrap();
                    }
                }
            }
            "StopUnit" => {
                for mount in used_by_systemd() {
                    for slice in fs::read_dir(&mount).unwrap().flatten().map(|one| one.path()) {
                        if slice.to_string_lossy().contains(&own_slice()) {
                            scopes_below(&slice).iter().for_each(|scope| stop(scope));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn make(&self, scope: &Path, pid: u32) {
        for mount in used_by_systemd() {
            let directory = mount.join(scope);
            fs::create_dir_all(&directory).unwrap();
            for file in ["", "cgroup.procs", "tasks", "cgroup.subtree_control"] {
                if directory.join(file).exists() {
                    chown(directory.join(file), Some(self.owner), Some(self.owner)).unwrap();
                }
            }
            fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }
}

fn own_slice() -> String {
    format!("taretest{}", std::process::id())
}

/// Where systemd makes cgroups itself, of the hierarchies there are.
fn used_by_systemd() -> Vec<PathBuf> {
    let all = hierarchies();
    if all.len() == 1 {
        return all;
    }
    let names = ["systemd", "unified", "pids"];
    all.into_iter().filter(|one| names.iter().any(|name| one.ends_with(name))).collect()
}

/// `a-b.slice` is in `a.slice`.
fn expand(slice: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let mut name = String::new();
    for part in slice.strip_suffix(".slice").unwrap().split('-') {
        name = if name.is_empty() { part.to_owned() } else { format!("{name}-{part}") };
        path.push(format!("{name}.slice"));
    }
    path
}

/// Ends what is in a scope, and takes it away.
fn stop(scope: &Path) {
    let end = Instant::now() + Duration::from_secs(120);
    while fs::remove_dir(scope).is_err() && scope.exists() {
        assert!(Instant::now() < end, "{} does not become empty", scope.display());
        for pid in fs::read_to_string(scope.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = std::process::Command::new("kill").args(["-KILL", pid]).status();
        }
    }
}

fn body(message: &[u8]) -> &[u8] {
    let fields = u32::from_le_bytes(message[12..16].try_into().unwrap()) as usize;
    &message[16 + fields.next_multiple_of(8)..]
}

/// The member's name: the text of field 3.
fn fields(message: &[u8]) -> String {
    let at = after(message, b"\x03\x01s\0");
    string_at(message, at)
}

/// The place after the first `mark`.
fn after(bytes: &[u8], mark: &[u8]) -> usize {
    let found = bytes.windows(mark.len()).position(|window| window == mark);
    found.unwrap_or_else(|| panic!("no {mark:?} in {:?}", printable(bytes))) + mark.len()
}

/// The string whose length stands at the next multiple of four.
fn string_at(bytes: &[u8], at: usize) -> String {
    let at = at.next_multiple_of(4);
    let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    String::from_utf8(bytes[at + 4..at + 4 + length].to_vec()).unwrap()
}

fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect()
}

/// The answer to call `serial`: it is done.
fn returned(serial: u32) -> Vec<u8> {
    let mut message = vec![b'l', 2, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0];
    message.extend([5, 1, b'u', 0]);
    message.extend(serial.to_le_bytes());
    message
}

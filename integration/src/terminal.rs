//! A command at a real terminal, with a person at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wait::{until, until_true};

/// What a person types to detach: ctrl-p ctrl-q.
pub const DETACH: &[u8] = b"\x10\x11";

/// What a person types to interrupt: ctrl-c.
pub const INTERRUPT: &[u8] = b"\x03";

/// A command that has a terminal; it is killed when this is dropped.
pub struct Terminal {
    person: File,
    child: Child,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts it at a new terminal of so many rows and columns. `setsid` makes that the command's
    /// controlling terminal, so that it hears of a change of size.
    #[track_caller]
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a terminal");
        grantpt(&person).and_then(|()| unlockpt(&person)).expect("unlock the terminal");
        tcsetwinsize(&person, size(rows, columns)).expect("set the terminal's size");
        let name = ptsname(&person, Vec::new()).expect("name the terminal");
        let name = name.into_string().expect("a terminal's name is text");
        let end = || -> Stdio {
            let file = File::options().read(true).write(true).open(&name);
            OwnedFd::from(file.expect("open the terminal's other end")).into()
        };
        let mut at_terminal = Command::new("setsid");
        at_terminal.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                at_terminal.env(key, value);
            }
        }
        let child = at_terminal
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("run setsid (util-linux)");
        let person = File::from(person);
        let screen = collect(person.try_clone().expect("share the terminal"));
        Self { person, child, screen }
    }

    /// Types.
    #[track_caller]
    pub fn write(&mut self, keys: &[u8]) {
        self.person.write_all(keys).expect("type at the terminal");
    }

    /// Changes the window's size.
    #[track_caller]
    pub fn resize(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(&self.person, size(rows, columns)).expect("change the terminal's size");
    }

    /// All that was ever on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no thread panics with it")).into_owned()
    }

    /// Waits until the screen has shown this text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        until_true(&format!("{text:?} on the screen"), || self.screen().contains(text));
    }

    /// Waits for the command's end; gives its exit code.
    #[track_caller]
    pub fn wait(mut self) -> i32 {
        let what = format!("the end of a command whose screen shows {:?}", self.screen());
        let status = until(&what, || self.child.try_wait().expect("look after a child"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// What the terminal shows, read by a thread that ends when the last program leaves the terminal.
fn collect(mut person: File) -> Arc<Mutex<Vec<u8>>> {
    let screen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&screen);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = person.read(&mut buffer) {
            shared.lock().expect("no thread panics with it").extend(&buffer[..count]);
        }
    });
    screen
}

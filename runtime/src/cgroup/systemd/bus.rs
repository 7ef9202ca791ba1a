//! The conversation with systemd, over its own socket or a message bus.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Manager;
use super::address::Address;
use super::message::{self, Call, Callee, FIXED, Received, Value, Writer};
use crate::error::{Context, Error, Kind, Result};

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to systemd.
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// systemd said so.
    Told {
        /// The error's name.
        name: String,
        /// Its text.
        text: String,
    },
    /// The connection broke.
    Broken(io::Error),
}

impl Refusal {
    /// Whether it is systemd's error of this name.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Refusal::Told { name, .. } if name == wanted)
    }

    /// The error to report, with what was being done.
    pub(super) fn while_doing(self, what: &str) -> Error {
        match self {
            Refusal::Told { name, text } => {
                Error::new(Kind::System, format!("{what}: systemd answers {name}: {text}"))
            }
            Refusal::Broken(error) => Error::system(what, error),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Broken(error)
    }
}

impl Bus {
    /// Connects to systemd and says who this process is.
    ///
    /// # Errors
    /// systemd does not run, or does not let this user in.
    pub(super) fn connect(manager: Manager) -> Result<Bus> {
        let address = Address::of(manager)?;
        let attempt = || -> io::Result<Bus> {
            let stream = address.socket().connect()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut bus = Bus { stream: BufReader::new(stream), serial: 0 };
            bus.authenticate()?;
            Ok(bus)
        };
        let mut bus = attempt().context(|| {
            format!("--systemd-cgroup: connect to systemd at {:?} (does it run?)", address.socket())
        })?;
        if matches!(address, Address::Bus(_)) {
            // A bus wants to be greeted before it passes anything on.
            bus.call(Callee::Bus, "Hello", "", Writer::default()).map_err(|refusal| {
                refusal.while_doing("--systemd-cgroup: greet the message bus")
            })?;
        }
        Ok(bus)
    }

    /// The kernel tells the other side who this is. It is not said again: in a user namespace this
    /// process does not know what its user is called outside.
    fn authenticate(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(b"\0AUTH EXTERNAL\r\n")?;
        self.expect("DATA")?;
        self.stream.get_mut().write_all(b"DATA\r\n")?;
        self.expect("OK ")?;
        self.stream.get_mut().write_all(b"BEGIN\r\n")
    }

    /// Reads a line that has to start with `word`.
    fn expect(&mut self, word: &str) -> io::Result<()> {
        let mut line = String::new();
        (&mut self.stream).take(1024).read_line(&mut line)?;
        match line.starts_with(word) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, line.trim().to_owned())),
        }
    }

    /// Makes a unit that exists until it is stopped.
    pub(super) fn start_transient_unit(
        &mut self,
        unit: &str,
        properties: &[(&str, Value)],
    ) -> Result<(), Refusal> {
        let mut body = Writer::default();
        body.text(unit);
        body.text("replace");
        body.properties(properties);
        // No further units.
        body.array(8, |_| {});
        self.call(Callee::Systemd, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    }

    /// Changes properties until the unit is stopped.
    pub(super) fn set_unit_properties(
        &mut self,
        unit: &str,
        properties: &[(&str, Value)],
    ) -> Result<(), Refusal> {
        let mut body = Writer::default();
        body.text(unit);
        body.flag(true);
        body.properties(properties);
        self.call(Callee::Systemd, "SetUnitProperties", "sba(sv)", body)
    }

    /// Moves a process into a unit, to the cgroup `place` below the unit's own.
    pub(super) fn attach_processes_to_unit(
        &mut self,
        unit: &str,
        place: &str,
        pid: u32,
    ) -> Result<(), Refusal> {
        let mut body = Writer::default();
        body.text(unit);
        body.text(place);
        body.numbers(&[pid]);
        self.call(Callee::Systemd, "AttachProcessesToUnit", "ssau", body)
    }

    /// Ends a unit and all processes in it.
    pub(super) fn stop_unit(&mut self, unit: &str) -> Result<(), Refusal> {
        let mut body = Writer::default();
        body.text(unit);
        body.text("replace");
        self.call(Callee::Systemd, "StopUnit", "ss", body)
    }

    /// Forgets that a unit has failed.
    pub(super) fn reset_failed_unit(&mut self, unit: &str) -> Result<(), Refusal> {
        let mut body = Writer::default();
        body.text(unit);
        self.call(Callee::Systemd, "ResetFailedUnit", "s", body)
    }

    /// Calls a method and waits for its answer; what else systemd says meanwhile is passed over.
    fn call(
        &mut self,
        callee: Callee,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<(), Refusal> {
        self.serial += 1;
        let message = Call { callee, member, signature, body }.encode(self.serial);
        self.stream.get_mut().write_all(&message)?;
        loop {
            match self.receive()? {
                Received::Returned(serial) if serial == self.serial => return Ok(()),
                Received::Failed { serial, name, text } if serial == self.serial => {
                    return Err(Refusal::Told { name, text });
                }
                Received::Returned(_) | Received::Failed { .. } | Received::Other => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<Received> {
        let mut fixed = [0; FIXED];
        self.stream.read_exact(&mut fixed)?;
        let length = message::length(&fixed).ok_or(io::ErrorKind::InvalidData)?;
        let mut whole = vec![0; length];
        let (start, rest) = whole.split_at_mut_checked(FIXED).ok_or(io::ErrorKind::InvalidData)?;
        start.copy_from_slice(&fixed);
        self.stream.read_exact(rest)?;
        message::decode(&whole).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

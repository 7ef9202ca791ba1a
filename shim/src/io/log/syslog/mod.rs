//! The `syslog` driver: each line is a message for a syslog server, in one of docker's formats.

mod address;
mod format;

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use tare_proto::log::SYSLOG_TLS;
use tare_proto::tare::shim::v1::Log as LogConfig;

use super::driver::Driver;
use super::lines::Line;
use crate::diagnostics::warn;
use crate::error::{Error, Result};
use crate::io::hub::Channel;
use address::Address;
use format::Format;

/// How long a server may take to answer, or to take a message.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server that is away is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// The way of one container's lines to a server.
pub(super) struct Syslog {
    address: Address,
    format: Format,
    connection: Option<Connection>,
    /// Since when the server is away.
    away: Option<Instant>,
    lost: u64,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Syslog {
    /// Connects to the server: a container doesn't start without it.
    pub(super) fn open(config: &LogConfig) -> Result<Self> {
        if let Some(name) = SYSLOG_TLS.iter().find(|name| config.options.contains_key(**name)) {
            return Err(Error::unimplemented(format!("the log option {name} isn't supported")));
        }
        let option = |name: &str| config.options.get(name).map_or("", String::as_str);
        let address = Address::parse(option("syslog-address"))?;
        let format =
            Format::new(option("syslog-format"), option("syslog-facility"), config.tag.clone())?;
        let connection = Connection::open(&address).map_err(|error| {
            Error::unknown(format!("connect to the syslog server {address}: {error}"))
        })?;
        Ok(Syslog { address, format, connection: Some(connection), away: None, lost: 0 })
    }

    /// Sends a message, over a new connection if the last one is broken.
    fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        if let Some(connection) = &mut self.connection {
            match connection.send(message) {
                Err(error) if error.kind() != ErrorKind::InvalidInput => self.connection = None,
                sent => return sent,
            }
        }
        if self.away.is_some_and(|since| since.elapsed() < PAUSE) {
            return Err(ErrorKind::NotConnected.into());
        }
        let sent = Connection::open(&self.address).and_then(|mut connection| {
            connection.send(message)?;
            self.connection = Some(connection);
            Ok(())
        });
        match &sent {
            Ok(()) => self.away = None,
            Err(error) => {
                if self.away.is_none() {
                    warn(format_args!("syslog server {}: {error}; lines are lost", self.address));
                }
                self.away = Some(Instant::now());
            }
        }
        sent
    }
}

impl Driver for Syslog {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        if line.text.is_empty() {
            return;
        }
        let message = self.format.message(channel, line);
        if self.send(&message).is_err() {
            // That has been said.
            self.lost += 1;
        }
    }

    fn flush(&mut self) {}

    fn reopen(&mut self) {}

    fn lost(&self) -> u64 {
        self.lost
    }
}

impl Connection {
    fn open(address: &Address) -> std::io::Result<Self> {
        match address {
            Address::Local => {
                let places = ["/dev/log", "/var/run/syslog", "/var/run/log"];
                let open =
                    |place: &&str| Self::datagram(place).or_else(|_| Self::stream(place)).ok();
                places.iter().find_map(open).ok_or_else(|| {
                    std::io::Error::new(ErrorKind::NotFound, "there is no syslog on this host")
                })
            }
            Address::Udp(host) => {
                let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"))?;
                socket.connect(host.as_str())?;
                Ok(Connection::Udp(socket))
            }
            Address::Tcp(host) => {
                let mut last = ErrorKind::NotFound.into();
                for address in host.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(stream) => {
                            stream.set_write_timeout(Some(PATIENCE))?;
                            return Ok(Connection::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Address::Datagram(path) => Self::datagram(path),
            Address::Stream(path) => Self::stream(path),
        }
    }

    fn datagram(path: &str) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::Datagram(socket))
    }

    fn stream(path: &str) -> std::io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::Stream(stream))
    }

    fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        match self {
            Connection::Udp(socket) => socket.send(message).map(drop),
            Connection::Datagram(socket) => socket.send(message).map(drop),
            Connection::Tcp(stream) => stream.write_all(message),
            Connection::Stream(stream) => stream.write_all(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::time::UNIX_EPOCH;

    fn config(options: &[(&str, &str)]) -> LogConfig {
        LogConfig {
            driver: "syslog".into(),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            tag: "web".into(),
            ..LogConfig::default()
        }
    }

    fn line(text: &[u8]) -> Line<'_> {
        Line { text, partial: false, piece: 0, time: UNIX_EPOCH }
    }

    #[test]
    fn lines_go_to_the_server_and_to_the_one_that_comes_after_it() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = server.local_addr().unwrap();
        let address = format!("tcp://{place}");
        let mut log = Syslog::open(&config(&[("syslog-address", &address)])).unwrap();
        log.append(Channel::Stdout, &line(b"one"));
        let (stream, _) = server.accept().unwrap();
        let mut text = String::new();
        BufReader::new(&stream).read_line(&mut text).unwrap();
        assert!(text.starts_with("<30>") && text.ends_with("]: one\n"), "{text:?}");
        drop(stream);
        // The first message after the server's end may still go into the old connection.
        for _ in 0..2 {
            log.append(Channel::Stderr, &line(b"two"));
        }
        let (stream, _) = server.accept().unwrap();
        text.clear();
        BufReader::new(&stream).read_line(&mut text).unwrap();
        assert!(text.starts_with("<27>") && text.ends_with("]: two\n"), "{text:?}");
    }

    #[test]
    fn datagrams_are_one_message_each() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = format!("udp://{}", server.local_addr().unwrap());
        let options = [("syslog-address", address.as_str()), ("syslog-format", "rfc5424micro")];
        let mut log = Syslog::open(&config(&options)).unwrap();
        log.append(Channel::Stdout, &line(b""));
        log.append(Channel::Stdout, &line(b"hello"));
        let mut buffer = [0; 500];
        let length = server.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(text.starts_with("<30>1 1970-01-01T00:00:00.000000Z "), "{text:?}");
        assert!(text.ends_with(" web - hello\n"), "{text:?}");
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        let refused = |options| Syslog::open(&config(options)).err().unwrap().to_string();
        let tls = refused(&[("syslog-tls-ca-cert", "/x")]);
        assert!(tls.contains("syslog-tls-ca-cert"), "{tls}");
        assert!(refused(&[("syslog-address", "tcp+tls://x")]).contains("tcp+tls"));
        assert!(refused(&[("syslog-address", "http://x")]).contains("unsupported scheme: 'http'"));
        assert!(refused(&[("syslog-facility", "x")]).contains("invalid syslog facility"));
        assert!(refused(&[("syslog-format", "x")]).contains("Invalid syslog format"));
        let gone = refused(&[("syslog-address", "unixgram:///nowhere")]);
        assert!(gone.contains("unixgram:///nowhere"), "{gone}");
    }
}

//! A client of a shim's Task API, as small as can be: ttrpc, and protobuf by hand. All that is sent
//! is strings and messages of strings.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A protobuf message: fields with a length, by their numbers.
pub(crate) fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, value) in fields {
        bytes.push(number << 3 | 2);
        let mut length = value.len();
        while length > 0x7f {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(value);
    }
    bytes
}

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    calls: u32,
}

impl Client {
    /// Connects to a shim's socket.
    pub(crate) fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket)
            .unwrap_or_else(|error| panic!("connect to {}: {error}", socket.display()));
        Client { stream, calls: 0 }
    }

    /// Calls a method, which must succeed.
    pub(crate) fn call(&mut self, method: &str, argument: &[u8]) {
        self.send(method, argument);
        let mut header = [0; 10];
        self.stream.read_exact(&mut header).expect("read the shim's answer");
        let [l0, l1, l2, l3, ..] = header;
        let mut answer = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
        self.stream.read_exact(&mut answer).expect("read the shim's answer");
        // The status is the first field, and empty where all is well.
        let failed = matches!(answer.as_slice(), [0x0a, length, ..] if *length > 0);
        assert!(!failed, "{method}: {}", String::from_utf8_lossy(&answer));
    }

    /// Calls a method that ends the shim, which may not come to answer, and waits for its end.
    pub(crate) fn call_last(mut self, method: &str, argument: &[u8]) {
        self.send(method, argument);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    fn send(&mut self, method: &str, argument: &[u8]) {
        let service = b"containerd.task.v3.Task".as_slice();
        let request = message(&[(1, service), (2, method.as_bytes()), (3, argument)]);
        // A client's streams have odd numbers.
        let stream = 2 * self.calls + 1;
        self.calls += 1;
        let mut frame = Vec::with_capacity(10 + request.len());
        frame.extend_from_slice(&(request.len() as u32).to_be_bytes());
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(&[1, 0]);
        frame.extend_from_slice(&request);
        self.stream.write_all(&frame).expect("call the shim");
    }
}

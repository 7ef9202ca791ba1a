//! `GET /containers/{id}/attach/ws`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use tare_integration::{Host, http, on_host};

/// A WebSocket, and what has come over it.
struct Socket {
    stream: UnixStream,
}

impl Socket {
    /// Shakes hands; the head of the answer has to say so.
    fn open(host: &Host, path: &str) -> Self {
        let mut stream = http::connect(&host.places().socket).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Origin: http://localhost\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // As the protocol's own document has it for this key.
        assert!(
            answer.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{answer}"
        );
        Self { stream }
    }

    /// Sends one message with these bits before it; a client's are masked.
    fn send(&mut self, first: u8, content: &[u8]) {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 126);
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first, 0x80 | length];
        frame.extend(mask);
        frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).unwrap();
    }

    /// The next message: its first byte and its content.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut more = [0; 2];
                self.stream.read_exact(&mut more).unwrap();
                usize::from(u16::from_be_bytes(more))
            }
            127 => panic!("a longer message than any here"),
            short => usize::from(short),
        };
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content).unwrap();
        (head[0], content)
    }

    /// What all messages up to the close say.
    fn until_close(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            match self.receive() {
                (0x82, content) => all.extend(content),
                (0x88, _) => return String::from_utf8(all).unwrap(),
                (other, content) => panic!("a message of kind {other:#x}: {content:?}"),
            }
        }
    }
}

#[test]
fn input_and_output_go_over_a_websocket() {
    on_host(|host| {
        let body = r#"{"Image": "busybox", "Cmd": ["sh", "-c", "read x; echo got $x; echo err >&2"],
                       "OpenStdin": true, "StdinOnce": true}"#;
        assert_eq!(host.post("/containers/create?name=c1", body).status, 201);
        let mut socket =
            Socket::open(host, "/v1.51/containers/c1/attach/ws?stream=1&stdin=1&stdout=1&stderr=1");
        assert_eq!(host.post("/containers/c1/start", "").status, 204);
        // A ping is answered with its content, and is no input.
        socket.send(0x89, b"there?");
        assert_eq!(socket.receive(), (0x8a, b"there?".to_vec()));
        // In two parts, the first as text.
        socket.send(0x01, b"hel");
        socket.send(0x80, b"lo\n");
        let said = socket.until_close();
        assert!(said.contains("got hello\n") && said.contains("err\n"), "{said:?}");
        host.docker("wait c1").stdout("0\n");
    });
}

#[test]
fn a_client_that_closes_it_leaves_the_container_alone() {
    on_host(|host| {
        host.docker("run -d --name c1 -it busybox cat").ok();
        let mut socket = Socket::open(host, "/v1.41/containers/c1/attach/ws?stream=1");
        socket.send(0x82, b"abc\n");
        let (kind, content) = socket.receive();
        assert_eq!(kind, 0x82, "{content:?}");
        socket.send(0x88, &[3, 232]);
        let mut rest = Vec::new();
        socket.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(host.inspect("c1", "{{.State.Running}}"), "true");
    });
}

#[test]
fn what_is_no_handshake_is_refused() {
    on_host(|host| {
        host.docker("create --name c1 busybox").ok();
        let answer = host.get("/containers/c1/attach/ws?stream=1");
        assert_eq!(answer.status, 400, "{answer:?}");
        let answer = host.get("/containers/nobody/attach/ws?stream=1");
        assert_eq!(answer.status, 404, "{answer:?}");
    });
}

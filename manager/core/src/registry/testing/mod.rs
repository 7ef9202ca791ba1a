//! A registry for tests that does what its script says: serves, refuses, lies, breaks off, stalls.

mod honest;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) use honest::{Honest, gzip};

use super::{Patience, RegistrySettings};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Whole,
    /// The connection breaks after this many bytes of the body.
    Cut(usize),
    /// Nothing more comes after this many bytes of the body.
    Stall(usize),
    /// The body is sent again and again, and no length is told.
    Never,
    /// As it should, after a while.
    After(Duration),
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), ending: Ending::Whole }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// An error in the registry's form.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let message = code.to_lowercase().replace('_', " ");
        let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Self::new(status, body.to_string()).with("content-type", "application/json")
    }
}

/// The registry, on a port of the loopback. Ends when dropped.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Serves what `script` says to each request.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                tokio::spawn(async move {
                    let _ = serve(connection, &*script, &log).await;
                });
            }
        });
        Self { address, asked, serving }
    }

    /// The name of an image in it.
    pub(crate) fn image(&self, name: &str) -> crate::image::Reference {
        crate::image::Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// `METHOD path` of all requests so far whose path has this in it.
    pub(crate) fn asked_for(&self, part: &str) -> Vec<String> {
        let asked = self.asked();
        let asked = asked.iter().filter(|asked| asked.path.contains(part));
        asked.map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Settings that lose patience soon, but not with a registry that works on a busy machine.
pub(crate) fn impatient() -> RegistrySettings {
    let patience = Patience {
        connect: Duration::from_secs(20),
        stall: Duration::from_secs(4),
        attempts: 3,
        wait: Duration::from_millis(1),
    };
    RegistrySettings { patience, ..RegistrySettings::default() }
}

async fn serve(
    mut connection: TcpStream,
    script: &(dyn Fn(&Asked) -> Reply + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let (reading, mut writing) = connection.split();
    let mut reading = BufReader::new(reading);
    // It speaks no TLS, and says so by hanging up.
    let Some(asked) = read_request(&mut reading).await? else { return Ok(()) };
    log.lock().unwrap().push(asked.clone());
    let reply = script(&asked);
    if let Ending::After(time) = reply.ending {
        tokio::time::sleep(time).await;
    }
    let mut head = format!("HTTP/1.1 {} Said\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let tells_length = reply.headers.iter().any(|(name, _)| name == "content-length");
    if reply.ending != Ending::Never && !tells_length {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    writing.write_all(format!("{head}\r\n").as_bytes()).await?;
    if asked.method == "HEAD" {
        return Ok(());
    }
    match reply.ending {
        Ending::Whole | Ending::After(_) => writing.write_all(&reply.body).await,
        Ending::Cut(length) => writing.write_all(&reply.body[..length]).await,
        Ending::Stall(length) => {
            writing.write_all(&reply.body[..length]).await?;
            std::future::pending().await
        }
        Ending::Never => loop {
            writing.write_all(&reply.body).await?;
        },
    }
}

async fn read_request(reading: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = reading.read_u8().await?;
        head.push(byte);
        if head.first() == Some(&0x16) {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut asked = Asked { method, path, headers, body: Vec::new() };
    if let Some(length) = asked.header("content-length") {
        asked.body = vec![0; length.parse().unwrap_or_default()];
        reading.read_exact(&mut asked.body).await?;
    }
    if asked.header("transfer-encoding") == Some("chunked") {
        asked.body = read_chunks(reading).await?;
    }
    Ok(Some(asked))
}

async fn read_chunks(reading: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(reading.read_u8().await?);
        }
        let length = String::from_utf8_lossy(&line).trim().to_owned();
        let length = usize::from_str_radix(&length, 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        reading.read_exact(&mut chunk).await?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting).await.unwrap();
}

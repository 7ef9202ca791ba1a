//! A registry that does what its script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};
use tare_integration::Host;
use tare_integration::archive::{architecture, digest, gzip};
use tare_integration::images::busybox_tar;

/// Where it listens.
pub(crate) const ADDRESS: &str = "127.0.0.1:5555";

/// A request.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
}

impl Asked {
    pub(crate) fn is_for(&self, part: &str) -> bool {
        self.path.contains(part)
    }
}

/// What it says to a request.
pub(crate) type Script = dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// The registry, on the loopback of a host. Ends when it is dropped.
pub(crate) struct Liar {
    script: Arc<Mutex<Arc<Script>>>,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    /// Connections that are open.
    open: Arc<Mutex<usize>>,
    accepting: Option<std::thread::JoinHandle<()>>,
    network: PathBuf,
}

impl Liar {
    pub(crate) fn start(host: &Host) -> Self {
        let network = PathBuf::from(format!("/proc/{}/ns/net", host.daemon_process()));
        let silent: Arc<Script> = Arc::new(|_, _| Ok(()));
        let script = Arc::new(Mutex::new(silent));
        let (asked, ended) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let open = Arc::new(Mutex::new(0));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let accepting = {
            let (script, asked, ended) =
                (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&ended));
            let (open, network) = (Arc::clone(&open), network.clone());
            std::thread::spawn(move || {
                enter(&network);
                let listener = TcpListener::bind(ADDRESS).expect("listen");
                ready.send(()).expect("someone waits");
                for connection in listener.incoming().flatten() {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                    let open = Arc::clone(&open);
                    *open.lock().unwrap() += 1;
                    std::thread::spawn(move || {
                        let _ = serve(connection, &script, &asked);
                        *open.lock().unwrap() -= 1;
                    });
                }
            })
        };
        is_ready.recv().expect("it listens");
        Self { script, asked, ended, open, accepting: Some(accepting), network }
    }

    /// From now on it says this.
    pub(crate) fn says(
        &self,
        script: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Arc::new(script);
        self.asked.lock().unwrap().clear();
    }

    /// `METHOD path` of all requests since then.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        *self.open.lock().unwrap()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let network = self.network.clone();
        // It is waiting for a connection.
        let waking = std::thread::spawn(move || {
            enter(&network);
            drop(TcpStream::connect(ADDRESS));
        });
        let _ = waking.join();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Takes this thread, and those that it makes, to the network.
fn enter(network: &Path) {
    let network = std::fs::File::open(network).expect("open the network");
    setns(network, CloneFlags::CLONE_NEWNET).expect("enter the network");
}

fn serve(
    mut connection: TcpStream,
    script: &Mutex<Arc<Script>>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reading = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reading.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = String::new();
    while reading.read_line(&mut headers)? > 2 {}
    log.lock().unwrap().push(format!("{method} {path}"));
    let script = Arc::clone(&script.lock().unwrap());
    let asked = Asked { method, path };
    script(&asked, &mut connection)?;
    // What was sent and not read would have the answer taken back: it is read to its end, or as far
    // as it goes.
    connection.shutdown(std::net::Shutdown::Write)?;
    connection.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    std::io::copy(&mut reading, &mut std::io::sink()).map(drop)
}

/// Answers with this.
pub(crate) fn answer(
    out: &mut TcpStream,
    status: u16,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    )?;
    out.write_all(body)
}

/// Says nothing more until the other side hangs up.
pub(crate) fn stall(out: &mut TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut out.take(u64::MAX), &mut std::io::sink()).map(drop)
}

/// Sends this again and again.
pub(crate) fn for_ever(out: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    loop {
        out.write_all(piece)?;
    }
}

/// An image in parts.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Parts {
    /// Busybox.
    pub(crate) fn honest() -> Self {
        let layer = gzip(busybox_tar());
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": { "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(busybox_tar())] },
        });
        Self::of(config.to_string().into_bytes(), layer)
    }

    pub(crate) fn of(config: Vec<u8>, layer: Vec<u8>) -> Self {
        Self { manifest: manifest(&config, &layer, layer.len() as i64), config, layer }
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, asked: &Asked, out: &mut TcpStream) -> std::io::Result<()> {
        let manifest = digest(&self.manifest);
        if asked.path == "/v2/" {
            return answer(out, 200, "", b"{}");
        }
        if asked.is_for("/tags/list") {
            return answer(out, 200, "", br#"{"name":"x","tags":["1"]}"#);
        }
        if asked.path.ends_with("/manifests/1") || asked.path.ends_with(&manifest) {
            let headers =
                format!("Content-Type: {MANIFEST}\r\nDocker-Content-Digest: {manifest}\r\n");
            return answer(out, 200, &headers, &self.manifest);
        }
        for blob in [&self.config, &self.layer] {
            if asked.path.ends_with(&digest(blob)) {
                return answer(out, 200, "", blob);
            }
        }
        answer(out, 404, "", br#"{"errors":[{"code":"UNKNOWN","message":"nothing"}]}"#)
    }
}

pub(crate) fn manifest(config: &[u8], layer: &[u8], size: i64) -> Vec<u8> {
    let described = |media_type: &str, blob: &[u8], size: i64| -> Value {
        json!({ "mediaType": media_type, "digest": digest(blob), "size": size })
    };
    let config_type = "application/vnd.oci.image.config.v1+json";
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": described(config_type, config, config.len() as i64),
        "layers": [described(layer_type, layer, size)],
    })
    .to_string()
    .into_bytes()
}

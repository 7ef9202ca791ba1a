//! A plugin for tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::Places;

/// A plugin that listens where plugins are looked for; its threads end with the test.
pub(crate) struct Stage {
    directory: TempDir,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

/// What stands for an answer that never comes.
const NEVER: &str = "never";

impl Stage {
    /// A plugin called `name` that answers each method and question so.
    pub(crate) fn new(
        name: &str,
        answer: impl Fn(&str, &Value) -> String + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(format!("{name}.sock"))).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&calls), Arc::new(answer));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(&client, &seen, &*answer));
            }
        });
        Self { directory, calls }
    }

    /// Where it is found.
    pub(crate) fn places(&self) -> Places {
        Places { sockets: self.directory.path().to_owned(), files: Vec::new() }
    }

    /// What was called so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    /// An answer that never comes.
    pub(crate) fn never() -> String {
        NEVER.to_owned()
    }
}

fn serve(
    client: &UnixStream,
    seen: &Mutex<Vec<(String, Value)>>,
    answer: &(dyn Fn(&str, &Value) -> String + Send + Sync),
) {
    let mut reader = BufReader::new(client);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let method = line.split_whitespace().nth(1).unwrap().trim_start_matches('/').to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim().split_once(": ") {
                Some((key, value)) => headers.insert(key.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let question = serde_json::from_slice(&body).unwrap_or_default();
        seen.lock().unwrap().push((method.clone(), question));
        let question = seen.lock().unwrap().last().unwrap().1.clone();
        let text = answer(&method, &question);
        if text == NEVER {
            // Until the client leaves.
            let _ = reader.read_line(&mut line);
            return;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        let mut writer = client;
        if writer.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

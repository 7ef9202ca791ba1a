//! A volume plugin as small as one can be: it keeps volumes in a directory, and says what it is told to
//! say, true or not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::host::Host;

/// The plugin; its threads end with the test.
pub struct Plugin {
    state: Arc<Mutex<State>>,
}

/// How a plugin answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Mood {
    /// As it should.
    Good,
    /// Never.
    Silent,
    /// This, whatever was asked.
    Says(String),
    /// That each volume is mounted here.
    MountsAt(String),
}

struct State {
    directory: PathBuf,
    scope: &'static str,
    mood: Mood,
    volumes: BTreeMap<String, Value>,
    /// For whom what is mounted.
    mounted: Vec<(String, String)>,
    calls: Vec<String>,
}

impl Plugin {
    /// A plugin called `name` on this machine.
    pub fn start(host: &Host, name: &str, scope: &'static str) -> Self {
        let socket = PathBuf::from(format!("/run/docker/plugins/{name}.sock"));
        let listener = UnixListener::bind(host.outside(&socket)).expect("listen as a plugin");
        let state = Arc::new(Mutex::new(State {
            directory: host.scratch(name),
            scope,
            mood: Mood::Good,
            volumes: BTreeMap::new(),
            mounted: Vec::new(),
            calls: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&client, &state));
            }
        });
        Self { state }
    }

    /// From now on it answers so.
    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// What is mounted, and for whom.
    pub fn mounted(&self) -> Vec<(String, String)> {
        self.state().mounted.clone()
    }

    /// The volumes that it has, with their options.
    pub fn volumes(&self) -> BTreeMap<String, Value> {
        self.state().volumes.clone()
    }

    /// It has this volume, which nobody asked for.
    pub fn has(&self, name: &str) {
        self.state().volumes.insert(name.to_owned(), Value::Null);
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the plugin has panicked")
    }
}

fn serve(client: &UnixStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(client);
    while let Some((method, question)) = next(&mut reader) {
        let Some(answer) = state.lock().expect("the plugin").answer(&method, &question) else {
            // Until the client leaves.
            let _ = reader.read_line(&mut String::new());
            return;
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        let mut writer = client;
        if writer.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

/// The next question of a client, if it has one.
fn next(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let method = line.split_whitespace().nth(1)?.trim_start_matches('/').to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim().split_once(": ") else { break };
        if key.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, serde_json::from_slice(&body).unwrap_or_default()))
}

impl State {
    fn answer(&mut self, method: &str, question: &Value) -> Option<String> {
        self.calls.push(method.to_owned());
        match &self.mood {
            Mood::Silent => return None,
            Mood::Says(text) => return Some(text.clone()),
            Mood::Good | Mood::MountsAt(_) => {}
        }
        let name = question["Name"].as_str().unwrap_or_default().to_owned();
        let there = self.volumes.contains_key(&name);
        let answer = match method.trim_start_matches("VolumeDriver.") {
            "Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
            "Capabilities" => json!({"Capabilities": {"Scope": self.scope}}),
            "Create" => {
                std::fs::create_dir_all(self.directory.join(&name)).expect("make a volume");
                self.volumes.insert(name, question["Opts"].clone());
                json!({"Err": ""})
            }
            "List" => {
                let all: Vec<_> = self.volumes.keys().map(|name| json!({"Name": name})).collect();
                json!({"Volumes": all, "Err": ""})
            }
            _ if !there => json!({"Err": "no such volume of mine"}),
            "Get" => json!({"Volume": {"Name": name, "Status": {"mood": "good"}}, "Err": ""}),
            "Remove" => {
                self.volumes.remove(&name);
                json!({"Err": ""})
            }
            "Mount" => {
                let id = question["ID"].as_str().unwrap_or_default().to_owned();
                self.mounted.push((name.clone(), id));
                let place = match &self.mood {
                    Mood::MountsAt(place) => place.clone(),
                    _ => self.directory.join(&name).display().to_string(),
                };
                json!({"Mountpoint": place, "Err": ""})
            }
            "Unmount" => {
                let id = question["ID"].as_str().unwrap_or_default();
                self.mounted.retain(|(volume, user)| (volume, &**user) != (&name, id));
                json!({"Err": ""})
            }
            other => json!({"Err": format!("what is {other}?")}),
        };
        Some(answer.to_string())
    }
}

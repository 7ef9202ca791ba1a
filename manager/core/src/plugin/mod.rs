//! Programs of others that do a part of the work, spoken to in docker's protocol: JSON posted by HTTP
//! to a socket. They are found by their names when they are needed, by [`places`](Places); nothing is
//! installed, started or watched.
//!
//! A plugin is another program: it may be slow, gone, or say anything. Each call has a time by which it
//! is over, each answer a largest size, and of one plugin's calls so many are under way at most, so
//! that whoever doesn't ask for a plugin never waits for it.

mod answer;
mod call;
mod places;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result};

pub(crate) use call::Patience;
pub use places::Places;

/// Calls of one plugin that are under way at once; more are refused.
const MOST_CALLS: usize = 64;
/// How long nobody asks a plugin without need that has not answered.
const REST: Duration = Duration::from_secs(60);

/// The plugins of this machine.
pub(crate) struct Plugins {
    places: Places,
    /// Those that have said what they are.
    known: Mutex<HashMap<String, Arc<Plugin>>>,
    /// Those that have not even said that, and when they were last asked.
    silent: Mutex<HashMap<String, Instant>>,
}

/// A plugin that has said what it is.
pub(crate) struct Plugin {
    pub(crate) name: String,
    connection: call::Connection,
    /// What it does, in docker's words.
    implements: Vec<String>,
    calls: Semaphore,
    /// Since when it doesn't answer.
    silent_since: Mutex<Option<Instant>>,
}

/// The question of a call that needs none.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// What a plugin says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Manifest {
    implements: Option<Vec<String>>,
}

impl Plugins {
    /// Those that are found in `places`.
    pub(crate) fn new(places: Places) -> Self {
        Self { places, known: Mutex::default(), silent: Mutex::default() }
    }

    /// The plugin `name`, which has to be one for `part`.
    ///
    /// # Errors
    /// In docker's words: [`Kind::NotFound`] if there is none; [`Kind::System`] if it doesn't answer or
    /// is for something else.
    pub(crate) async fn get(&self, name: &str, part: &str) -> Result<Arc<Plugin>> {
        let plugin = self.load(name, Patience::Long).await?;
        if plugin.is_for(part) {
            return Ok(plugin);
        }
        Err(Error::system(format!(
            "legacy plugin: Plugin does not implement the requested driver: plugin={name:?}, \
             requested implementation={part:?}"
        )))
    }

    /// All that are for `part` and answer soon, by name.
    pub(crate) async fn all(&self, part: &str) -> Vec<Arc<Plugin>> {
        let names = self.places.names();
        let loads = names.iter().map(|name| self.load(name, Patience::Soon));
        let loaded = futures_util::future::join_all(loads).await;
        loaded.into_iter().flatten().filter(|plugin| plugin.is_for(part)).collect()
    }

    /// The names of those that are for `part` and that someone has already asked for something.
    pub(crate) fn used(&self, part: &str) -> Vec<String> {
        let known = lock(&self.known);
        let names = known.values().filter(|plugin| plugin.is_for(part));
        names.map(|plugin| plugin.name.clone()).collect()
    }

    async fn load(&self, name: &str, patience: Patience) -> Result<Arc<Plugin>> {
        if let Some(known) = lock(&self.known).get(name) {
            return Ok(Arc::clone(known));
        }
        let address = self.places.find(name)?;
        let rests = lock(&self.silent).get(name).is_some_and(|since| since.elapsed() < REST);
        if patience == Patience::Soon && rests {
            return Err(resting(name));
        }
        let connection = call::Connection::to(&address)?;
        let activate = connection.call("Plugin.Activate", &Nothing {}, patience).await;
        let manifest: Manifest = activate.map_err(|error| {
            lock(&self.silent).insert(name.to_owned(), Instant::now());
            error.while_doing("legacy plugin")
        })?;
        lock(&self.silent).remove(name);
        let plugin = Arc::new(Plugin {
            name: name.to_owned(),
            connection,
            implements: manifest.implements.unwrap_or_default(),
            calls: Semaphore::new(MOST_CALLS),
            silent_since: Mutex::default(),
        });
        Ok(Arc::clone(lock(&self.known).entry(name.to_owned()).or_insert(plugin)))
    }
}

impl Plugin {
    /// Calls `method` with `question`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if it can't be reached or doesn't answer in time; [`Kind::System`] for
    /// what it answers to refuse, or an answer that makes no sense.
    pub(crate) async fn call<Q: Serialize, A: for<'a> Deserialize<'a>>(
        &self,
        method: &str,
        question: &Q,
        patience: Patience,
    ) -> Result<A> {
        if patience == Patience::Soon && self.rests() {
            return Err(resting(&self.name));
        }
        let Ok(_one) = self.calls.try_acquire() else {
            return Err(Error::new(
                Kind::Unavailable,
                format!("the plugin {} has not answered {MOST_CALLS} others yet", self.name),
            ));
        };
        let answer = self.connection.call(method, question, patience).await;
        let silent = matches!(&answer, Err(error) if error.kind() == Kind::Unavailable);
        *lock(&self.silent_since) = silent.then(Instant::now);
        answer
    }

    fn is_for(&self, part: &str) -> bool {
        self.implements.iter().any(|one| one == part)
    }

    fn rests(&self) -> bool {
        lock(&self.silent_since).is_some_and(|since| since.elapsed() < REST)
    }
}

fn resting(name: &str) -> Error {
    Error::new(Kind::Unavailable, format!("the plugin {name} has not answered lately"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::testing::Stage;
    use super::*;

    #[tokio::test]
    async fn a_plugin_says_what_it_is_for_once() {
        let stage = Stage::new("disks", |method, _| match method {
            "Plugin.Activate" => r#"{"Implements": ["VolumeDriver"]}"#.to_owned(),
            _ => r#"{"Err": "no"}"#.to_owned(),
        });
        let plugins = Plugins::new(stage.places());
        plugins.get("disks", "VolumeDriver").await.unwrap();
        plugins.get("disks", "VolumeDriver").await.unwrap();
        assert_eq!(stage.methods(), ["Plugin.Activate"]);
        let error = plugins.get("disks", "NetworkDriver").await.err().unwrap();
        assert!(
            error.to_string().contains("requested implementation=\"NetworkDriver\""),
            "{error}"
        );
        let error = plugins.get("other", "VolumeDriver").await.err().unwrap();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::NotFound, "plugin \"other\" not found")
        );
        assert_eq!(plugins.all("VolumeDriver").await.len(), 1);
        assert_eq!(plugins.used("VolumeDriver"), ["disks"]);
    }

    #[tokio::test]
    async fn a_silent_plugin_is_left_in_peace() {
        let stage = Stage::new("disks", |method, _| match method {
            "Plugin.Activate" => r#"{"Implements": ["VolumeDriver"]}"#.to_owned(),
            _ => Stage::never(),
        });
        let plugins = Plugins::new(stage.places());
        let plugin = plugins.get("disks", "VolumeDriver").await.unwrap();
        let begun = Instant::now();
        for _ in 0..5 {
            let answer: Result<()> =
                plugin.call("VolumeDriver.List", &Nothing {}, Patience::Soon).await;
            assert_eq!(answer.unwrap_err().kind(), Kind::Unavailable);
        }
        // It was waited for once.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        assert_eq!(stage.methods(), ["Plugin.Activate", "VolumeDriver.List"]);
    }
}

//! What the guest does until its power is cut: several at once pull, load, tag, commit and remove.
//! They share content, and have names of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tare_integration::archive::Tar;

use crate::api::{self, Wrong, ask, succeeds};
use crate::images::{IMAGES, loaded, pulled};
use crate::ledger::{Ledger, Standing};
use crate::random::Random;
use crate::say;

const MOST_CONTAINERS: usize = 4;
const MOST_COMMITS: usize = 3;

/// One who works.
pub(crate) struct Worker {
    number: usize,
    random: Random,
    archives: PathBuf,
    /// The images and containers that it has, with their ids.
    images: BTreeMap<String, String>,
    containers: BTreeMap<String, String>,
    made: u64,
}

impl Worker {
    /// One that goes on with what is there.
    pub(crate) fn new(number: usize, seed: u64, archives: &Path, there: &Ledger) -> Self {
        let (mut images, mut containers) = (BTreeMap::new(), BTreeMap::new());
        let own = format!("w{number}");
        for (name, standing) in there.iter() {
            let Standing::There(id) = standing else { continue };
            if !name.contains(&own) {
                continue;
            }
            match name.strip_prefix("container:") {
                Some(name) => containers.insert(name.to_owned(), id.clone()),
                None => images.insert(name.clone(), id.clone()),
            };
        }
        let random = Random::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        Self { number, random, archives: archives.to_owned(), images, containers, made: seed << 20 }
    }

    /// Works until something is wrong, or the power is cut.
    pub(crate) fn work(mut self) -> Wrong {
        loop {
            if let Err(wrong) = self.step() {
                return wrong;
            }
        }
    }

    fn step(&mut self) -> Result<(), Wrong> {
        match self.random.below(100) {
            0..30 => self.pull(),
            30..42 => self.load(),
            42..62 => self.remove_image(),
            62..70 => self.tag(),
            70..80 => self.create(),
            80..88 => self.commit(),
            88..96 => self.remove_container(),
            96..98 => self.run(),
            _ => ask("POST", "/images/prune", &Value::Null).map(drop),
        }
    }

    fn pull(&mut self) -> Result<(), Wrong> {
        let name = pulled(self.number, self.random.below(IMAGES));
        if !self.images.contains_key(&name) {
            say(&format!("? {name}"));
        }
        let id = api::pull(&name)?;
        self.has(name, id);
        Ok(())
    }

    fn load(&mut self) -> Result<(), Wrong> {
        let image = self.random.below(IMAGES);
        let name = loaded(self.number, image);
        let file = self.archives.join(format!("w{}-image{image}.tar", self.number));
        let archive = std::fs::read(&file).map_err(|error| error.to_string())?;
        if !self.images.contains_key(&name) {
            say(&format!("? {name}"));
        }
        succeeds("POST", "/images/load", "application/x-tar", &archive)?;
        let id = api::id_of(&name)?;
        self.has(name, id);
        Ok(())
    }

    fn tag(&mut self) -> Result<(), Wrong> {
        let Some((source, id)) = self.an_image() else { return Ok(()) };
        let name = format!("tagged/w{}-{}:latest", self.number, self.random.below(4));
        say(&format!("? {name}"));
        let repository = name.trim_end_matches(":latest");
        ask("POST", &format!("/images/{source}/tag?repo={repository}&tag=latest"), &Value::Null)?;
        self.has(name, id);
        Ok(())
    }

    fn remove_image(&mut self) -> Result<(), Wrong> {
        let Some((name, _)) = self.an_image() else { return Ok(()) };
        say(&format!("? {name}"));
        ask("DELETE", &format!("/images/{name}?force=true"), &Value::Null)?;
        self.images.remove(&name);
        say(&format!("- {name}"));
        Ok(())
    }

    fn create(&mut self) -> Result<(), Wrong> {
        if self.containers.len() >= MOST_CONTAINERS {
            return self.remove_container();
        }
        let Some((image, _)) = self.an_image() else { return Ok(()) };
        let name = self.fresh("container");
        say(&format!("? container:{name}"));
        let id = api::create(&name, &image)?;
        say(&format!("+ container:{name} {id}"));
        self.containers.insert(name, id);
        Ok(())
    }

    /// Puts something into a container and makes an image of it.
    fn commit(&mut self) -> Result<(), Wrong> {
        let mine = |name: &&String| name.starts_with("committed/");
        if self.images.keys().filter(mine).count() >= MOST_COMMITS {
            return self.remove_image();
        }
        let names: Vec<_> = self.containers.keys().cloned().collect();
        let Some(container) = self.random.one(&names).cloned() else { return Ok(()) };
        let size = self.random.below(60_000);
        let content = self.random.bytes(size);
        let tar = Tar::new().directory("put", 0o755).file("put/content", 0o600, &content).bytes();
        let put = format!("/containers/{container}/archive?path=/");
        succeeds("PUT", &put, "application/x-tar", &tar)?;
        let name = format!("committed/{}", self.fresh("image"));
        say(&format!("? {name}:latest"));
        let commit = format!("/commit?container={container}&repo={name}&tag=latest");
        match ask("POST", &commit, &Value::Null) {
            Ok(answer) => self.has(format!("{name}:latest"), api::text(&answer.json()["Id"])),
            // Another one has removed the image that the container was made from.
            Err(wrong) if wrong.contains("has been removed") => say(&format!("- {name}:latest")),
            Err(wrong) => return Err(wrong),
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Wrong> {
        let names: Vec<_> = self.containers.keys().cloned().collect();
        let Some(name) = self.random.one(&names) else { return Ok(()) };
        ask("POST", &format!("/containers/{name}/start"), &Value::Null)?;
        ask("POST", &format!("/containers/{name}/kill"), &Value::Null)?;
        ask("POST", &format!("/containers/{name}/wait"), &Value::Null).map(drop)
    }

    fn remove_container(&mut self) -> Result<(), Wrong> {
        let names: Vec<_> = self.containers.keys().cloned().collect();
        let Some(name) = self.random.one(&names) else { return Ok(()) };
        say(&format!("? container:{name}"));
        ask("DELETE", &format!("/containers/{name}?force=true&v=true"), &Value::Null)?;
        self.containers.remove(name);
        say(&format!("- container:{name}"));
        Ok(())
    }

    fn an_image(&mut self) -> Option<(String, String)> {
        let names: Vec<_> = self.images.iter().collect();
        self.random.one(&names).map(|(name, id)| ((*name).clone(), (*id).clone()))
    }

    fn has(&mut self, name: String, id: String) {
        say(&format!("+ {name} {id}"));
        self.images.insert(name, id);
    }

    fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("w{}-{what}-{}", self.number, self.made)
    }
}

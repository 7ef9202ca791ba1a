//! Tells of a build as docker's classic builder did: step by step in the order of the file, however it
//! goes in truth.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::said::Said;
use super::script::{Act, From, Script, Work};
use crate::progress::{Event, LogLine, Stream, VertexId, VertexState};

/// Tells what can be told by now, whenever something happened.
pub(super) struct Teller {
    script: Script,
    /// The next step to be told of.
    next: usize,
    /// The works that its image has left to do which are told.
    triggered: usize,
    /// Whether its beginning is told.
    begun: bool,
    /// Whether all is told of it but what it has made.
    over: bool,
    /// The images that the steps made, as far as they are told.
    images: Vec<String>,
    /// The id of an image by its name.
    image_of: Box<ImageOf>,
    works: HashMap<String, Told>,
    titles: HashMap<VertexId, String>,
    out: Vec<Said>,
}

/// Tells the id of an image by its name.
type ImageOf = dyn Fn(&str) -> Option<String> + Send;

/// What is known of a work.
#[derive(Default)]
struct Told {
    state: State,
    /// Whether it was said that it runs.
    announced: bool,
    /// What it wrote that was not said yet.
    written: Vec<(Stream, Bytes)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Waiting,
    Running,
    Done,
    Cached,
    Failed,
}

impl Teller {
    pub(super) fn new(
        script: Script,
        image_of: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Self {
        Self {
            script,
            next: 0,
            triggered: 0,
            begun: false,
            over: false,
            images: Vec::new(),
            image_of: Box::new(image_of),
            works: HashMap::new(),
            titles: HashMap::new(),
            out: Vec::new(),
        }
    }

    /// Something happened: gives what there is to say now.
    pub(super) fn take(&mut self, event: Event) -> Vec<Said> {
        match event {
            Event::Vertex(state) => self.state(state),
            Event::Log(LogLine { vertex, stream, bytes, .. }) => {
                if let Some(title) = self.titles.get(&vertex) {
                    self.works.entry(title.clone()).or_default().written.push((stream, bytes));
                }
            }
            Event::Planned(_) | Event::Transfer(_) | Event::Warning(_) => {}
        }
        while self.tell_next() {}
        std::mem::take(&mut self.out)
    }

    /// All is done, and the image is this one, which may have been `known` before: gives the rest.
    pub(super) fn finish(&mut self, image: &str, known: bool) -> Vec<Said> {
        while self.next < self.script.steps.len() {
            self.tell_step(Some(known));
            let is_last = self.next + 1 == self.script.steps.len();
            self.tell_image(is_last.then_some(image));
        }
        std::mem::take(&mut self.out)
    }

    /// It ends here: gives what is known of the step that could not be done.
    pub(super) fn give_up(&mut self) -> Vec<Said> {
        self.tell_step(None);
        std::mem::take(&mut self.out)
    }

    fn state(&mut self, state: VertexState) {
        let told = self.works.entry(state.name.clone()).or_default();
        told.state = match (&state.started, &state.completed) {
            (_, Some(_)) if state.cached => State::Cached,
            (_, Some(_)) if !state.error.is_empty() => State::Failed,
            (_, Some(_)) => State::Done,
            (Some(_), None) => State::Running,
            (None, None) => State::Waiting,
        };
        self.titles.insert(state.id, state.name);
    }

    /// Tells of the next step as far as that can be told; whether there may be more to tell.
    fn tell_next(&mut self) -> bool {
        if self.over || self.next >= self.script.steps.len() {
            return false;
        }
        self.over = self.tell_step(None);
        // What the last one makes has a name only when all is done.
        if !self.over || self.next + 1 == self.script.steps.len() {
            return false;
        }
        self.tell_image(None);
        true
    }

    /// Tells what the next step does; whether that is all of it. `known` says whether what follows
    /// all works was there before, if that can be said.
    fn tell_step(&mut self, known: Option<bool>) -> bool {
        let Some(step) = self.script.steps.get(self.next).cloned() else { return true };
        match &step.act {
            _ if self.over => true,
            Act::Argument => {
                self.begin(&step.source);
                true
            }
            Act::Skip => {
                self.begin(&step.source);
                self.say(" ---> Skipped: nothing needs it");
                true
            }
            Act::Begin { triggered, .. } => self.tell_begin(&step.source, triggered),
            Act::Set => self.tell_setting(&step.source, known),
            Act::Work(work) => self.tell_work(&step.source, work),
        }
    }

    /// Tells what the step has made, this image if that is known, and goes on to the next one.
    fn tell_image(&mut self, image: Option<&str>) {
        let Some(step) = self.script.steps.get(self.next) else { return };
        let below = || self.images.last().cloned().unwrap_or_default();
        let made = match &step.act {
            Act::Argument | Act::Skip => String::new(),
            Act::Begin { from, triggered } => {
                let from = match from {
                    From::Nothing => String::new(),
                    From::Stage(end) => self.images.get(*end).cloned().unwrap_or_default(),
                    From::Image(name) => (self.image_of)(name).unwrap_or_else(|| made_of("", name)),
                };
                triggered.iter().fold(from, |image, title| made_of(&image, title))
            }
            Act::Set | Act::Work(_) => made_of(&below(), &step.source),
        };
        let made = image.map_or(made, str::to_owned);
        if !matches!(step.act, Act::Argument | Act::Skip) {
            self.say(format!(" ---> {}", short(&made)));
        }
        self.images.push(made);
        self.next += 1;
        (self.over, self.begun, self.triggered) = (false, false, 0);
    }

    fn begin(&mut self, source: &str) {
        if !self.begun {
            let (number, all) = (self.next + 1, self.script.steps.len());
            // Programs have always got the line's end by itself.
            self.out.push(Said::Text(format!("Step {number}/{all} : {source}")));
            self.out.push(Said::Text("\n".to_owned()));
            self.begun = true;
        }
    }

    fn tell_begin(&mut self, source: &str, triggered: &[String]) -> bool {
        if !self.begun && !triggered.is_empty() {
            self.begin(source);
            let plural = if triggered.len() == 1 { "" } else { "s" };
            self.say(format!("# Executing {} build trigger{plural}", triggered.len()));
        }
        self.begin(source);
        while let Some(title) = triggered.get(self.triggered) {
            let work = Work { title: title.clone(), contained: true };
            if !self.tell_work(source, &work) {
                return false;
            }
            self.triggered += 1;
        }
        true
    }

    /// A step without files is known if the work after it is, or else if all that it leads to is.
    fn tell_setting(&mut self, source: &str, known: Option<bool>) -> bool {
        let work = self.script.next_work(self.next);
        let state =
            work.map(|work| self.works.get(&work.title).map_or(State::Waiting, |t| t.state));
        let cached = match (state, known) {
            (Some(State::Cached), _) => true,
            (Some(State::Waiting), None) => return false,
            (Some(_), _) => false,
            (None, Some(known)) => known,
            // It ends a stage that others begin with.
            (None, None) if !self.is_last_stage() => self.last_work_was_cached(),
            (None, None) => return false,
        };
        self.begin(source);
        if cached {
            self.say(" ---> Using cache");
        } else {
            let container = self.container(source);
            self.say(format!(" ---> Running in {container}"));
            self.say(format!(" ---> Removed intermediate container {container}"));
        }
        true
    }

    fn tell_work(&mut self, source: &str, work: &Work) -> bool {
        let state = self.works.get(&work.title).map_or(State::Waiting, |told| told.state);
        match state {
            State::Waiting => false,
            State::Cached => {
                self.begin(source);
                self.say(" ---> Using cache");
                true
            }
            State::Running | State::Done | State::Failed => {
                let container = self.container(&work.title);
                self.begin(source);
                self.tell_running(&work.title, work.contained.then_some(&container));
                if state == State::Done && work.contained {
                    self.say(format!(" ---> Removed intermediate container {container}"));
                }
                state == State::Done
            }
        }
    }

    /// What it wrote since it was last told of.
    fn tell_running(&mut self, title: &str, container: Option<&String>) {
        let Some(told) = self.works.get_mut(title) else { return };
        let written = std::mem::take(&mut told.written);
        if let Some(container) = container
            && !std::mem::replace(&mut told.announced, true)
        {
            self.out.push(Said::line(format!(" ---> Running in {container}")));
        }
        for (stream, bytes) in written {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.out.push(match stream {
                Stream::Output => Said::Text(text),
                Stream::Errors => Said::Error(text),
            });
        }
    }

    fn is_last_stage(&self) -> bool {
        let mut rest = self.script.steps.iter().skip(self.next);
        !rest.any(|step| matches!(step.act, Act::Begin { .. } | Act::Skip))
    }

    fn last_work_was_cached(&self) -> bool {
        let done = self.script.steps.iter().take(self.next).rev();
        let mut stage = done.take_while(|step| !matches!(step.act, Act::Begin { .. }));
        let last = stage.find_map(|step| match &step.act {
            Act::Work(work) => Some(&work.title),
            _ => None,
        });
        last.is_none_or(|title| {
            self.works.get(title).is_some_and(|told| told.state == State::Cached)
        })
    }

    /// What stands for the container of a step.
    fn container(&self, of: &str) -> String {
        short(&made_of(&format!("container {}", self.next), of)).to_owned()
    }

    fn say(&mut self, text: impl Into<String>) {
        self.out.push(Said::line(text));
    }
}

/// What stands for the image that a step makes of another one.
fn made_of(below: &str, step: &str) -> String {
    let digest = Sha256::digest(format!("{below}\0{step}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An id as people see it.
pub(super) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Journal;

    fn step(source: &str, act: Act) -> super::super::script::Shown {
        super::super::script::Shown { source: source.to_owned(), act }
    }

    fn work(source: &str, contained: bool) -> super::super::script::Shown {
        step(source, Act::Work(Work { title: source.to_owned(), contained }))
    }

    fn script() -> Script {
        let from = Act::Begin { from: From::Image("x".to_owned()), triggered: Vec::new() };
        let steps = vec![
            step("FROM x", from),
            work("COPY a /", false),
            step("ENV A=b", Act::Set),
            work("RUN make", true),
            step("CMD x", Act::Set),
        ];
        Script { steps }
    }

    fn teller() -> Teller {
        Teller::new(script(), |_| Some("sha256:0123456789abcdef".to_owned()))
    }

    /// What is said until now, without names that are digests.
    async fn said(teller: &mut Teller, journal: &Journal) -> Vec<String> {
        journal.end();
        let mut follower = journal.follow();
        let mut all = Vec::new();
        while let Some(events) = follower.next().await {
            all.extend(events.into_iter().flat_map(|event| teller.take(event)));
        }
        plain(all)
    }

    fn plain(said: Vec<Said>) -> Vec<String> {
        said.into_iter()
            .map(|said| match said {
                Said::Text(text) | Said::Error(text) => text,
                Said::Image(id) => id.to_string(),
            })
            .map(|text| match text.trim_end().rsplit_once(' ') {
                Some((before, id))
                    if id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()) =>
                {
                    let known = if id == "0123456789ab" { "X" } else { "ID" };
                    format!("{before} {known}")
                }
                _ => text.trim_end().to_owned(),
            })
            .filter(|text| !text.is_empty())
            .collect()
    }

    #[tokio::test]
    async fn it_is_told_in_the_order_of_the_file() {
        let (journal, mut teller) = (Journal::default(), teller());
        let copy = journal.vertex("COPY a /", &[]);
        let run = journal.vertex("RUN make", &[]);
        run.start();
        run.log(Stream::Output, Bytes::from_static(b"made\n"));
        run.log(Stream::Errors, Bytes::from_static(b"oh\n"));
        run.done();
        copy.start();
        copy.done();
        let expected = [
            "Step 1/5 : FROM x",
            " ---> X",
            "Step 2/5 : COPY a /",
            " ---> ID",
            "Step 3/5 : ENV A=b",
            " ---> Running in ID",
            " ---> Removed intermediate container ID",
            " ---> ID",
            "Step 4/5 : RUN make",
            " ---> Running in ID",
            "made",
            "oh",
            " ---> Removed intermediate container ID",
            " ---> ID",
        ];
        assert_eq!(said(&mut teller, &journal).await, expected);
        let rest = plain(teller.finish("sha256:0123456789abcdef", false));
        let expected = [
            "Step 5/5 : CMD x",
            " ---> Running in ID",
            " ---> Removed intermediate container ID",
            " ---> X",
        ];
        assert_eq!(rest, expected);
    }

    #[tokio::test]
    async fn what_is_known_is_said_to_be() {
        let (journal, mut teller) = (Journal::default(), teller());
        journal.vertex("COPY a /", &[]).cached();
        journal.vertex("RUN make", &[]).cached();
        let said = said(&mut teller, &journal).await;
        assert_eq!(said.iter().filter(|text| *text == " ---> Using cache").count(), 3);
        let rest = plain(teller.finish("sha256:0123456789abcdef", true));
        assert_eq!(rest, ["Step 5/5 : CMD x", " ---> Using cache", " ---> X"]);
    }

    #[tokio::test]
    async fn what_fails_is_the_last_that_is_told() {
        let (journal, mut teller) = (Journal::default(), teller());
        journal.vertex("COPY a /", &[]).cached();
        let run = journal.vertex("RUN make", &[]);
        run.start();
        run.log(Stream::Errors, Bytes::from_static(b"no rule\n"));
        run.failed(&crate::Error::system("no"));
        let said = said(&mut teller, &journal).await;
        assert_eq!(said.last().unwrap(), "no rule");
        assert!(teller.give_up().is_empty());
    }
}

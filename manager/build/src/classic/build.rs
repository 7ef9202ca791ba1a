//! A classic build, from what is asked to the image.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tare_core::image::ImageId;
use tare_dockerfile::instruction::Dockerfile;
use tare_dockerfile::lint::{Checks, Linter};
use tare_dockerfile::plan::{Manner, Plan, Work};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use super::asked::Asked;
use super::context::{Context, receive};
use super::failure;
use super::history::name_sources;
use super::said::Said;
use super::script::Script;
use super::teller::{Teller, short};
use super::unused;
use crate::Builder;
use crate::attrs::Attrs;
use crate::error::{Error, Result};
use crate::export::{Finished, Named, record};
use crate::progress::{Event, Journal};
use crate::solve::{Answer, Built, Part, Request, platform, solve};
use crate::tree::Tree;

/// What is known of a build while it goes on.
#[derive(Default)]
struct Known {
    plan: Option<Arc<Plan>>,
    file: Option<Dockerfile>,
    teller: Option<Teller>,
}

/// Builds an image of the context in `archive`, unless it is asked for another one, and tells how that
/// goes. Dropped, it is given up.
///
/// # Errors
/// What is wrong with the request or the context: nothing has been said then. What goes wrong later.
pub async fn build<R>(
    builder: &Arc<Builder>,
    asked: Asked,
    archive: R,
    to: mpsc::Sender<Said>,
) -> Result<ImageId>
where
    R: AsyncRead + Send + Unpin + 'static,
{
    asked.check(&platform::here())?;
    let context = match asked.remote {
        Some(_) => None,
        None => Some(receive(&builder.engine, archive, asked.file()).await?),
    };
    if let Some(context) = &context {
        check(context)?;
    }
    let tree = context.as_ref().map(|context| context.tree.clone());
    let request = request(builder, &asked, context)?;
    let journal = Journal::default();
    let known = Mutex::new(Known::default());
    let following = follow(builder, &journal, &asked, &known, &to);
    let building = async {
        let answer = solve(builder, request, &journal).await;
        journal.end();
        answer
    };
    let (answer, ()) = tokio::join!(building, following);
    let mut known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    let built = match answer {
        Ok(Answer::Built(built)) => built,
        Ok(Answer::Told(_)) => return Err(Error::invalid("nothing was asked to be built")),
        Err(error) => {
            say(&to, known.teller.as_mut().map(Teller::give_up).unwrap_or_default()).await;
            return Err(failure::in_old_words(error, known.plan.as_deref()));
        }
    };
    let id = finish(builder, &asked, built, tree.as_ref(), &mut known, &to).await?;
    Ok(id)
}

/// The Dockerfile is read once more where it is built; what is wrong with it is found before anything
/// is said.
fn check(context: &Context) -> Result<()> {
    match parse(&context.text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::invalid(error.to_string())),
    }
}

fn parse(text: &[u8]) -> tare_dockerfile::Result<Dockerfile> {
    Dockerfile::parse(text, &mut Linter::new(Checks::default()))
}

fn request(builder: &Builder, asked: &Asked, context: Option<Context>) -> Result<Request> {
    let mut attributes = asked.attributes()?;
    let mut given = BTreeMap::new();
    if let Some(context) = context {
        attributes.insert("filename".to_owned(), context.path.clone());
        let dockerfile = context.dockerfile(&builder.engine)?;
        given.insert(crate::attrs::CONTEXT.to_owned(), context.tree);
        given.insert(crate::attrs::DOCKERFILE_DIRECTORY.to_owned(), dockerfile);
    }
    let attrs = Attrs::parse(&attributes, &platform::here())?;
    Ok(Request {
        attrs,
        given,
        manner: Manner::Classic,
        only_images: asked.cache_from.clone(),
        limits: asked.limits.of_commands(),
        credentials: asked.credentials.clone(),
        allowed: asked.allowed(),
        ..Request::default()
    })
}

/// Tells how it goes, as long as it goes on.
async fn follow(
    builder: &Arc<Builder>,
    journal: &Journal,
    asked: &Asked,
    known: &Mutex<Known>,
    to: &mpsc::Sender<Said>,
) {
    let mut follower = journal.follow();
    // What comes before it is known what will be done.
    let mut early = Vec::new();
    while let Some(events) = follower.next().await {
        let mut said = Vec::new();
        {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                if let Event::Planned(planned) = &event {
                    known.begin(builder, asked, planned);
                }
                let Some(teller) = &mut known.teller else {
                    early.push(event);
                    continue;
                };
                for event in early.drain(..).chain([event]) {
                    said.extend(teller.take(event));
                }
            }
        }
        say(to, said).await;
    }
}

impl Known {
    fn begin(&mut self, builder: &Arc<Builder>, asked: &Asked, planned: &crate::progress::Planned) {
        let Ok(file) = parse(&planned.file.text) else { return };
        let script = Script::of(&file, &planned.plan, &asked.labels);
        let engine = Arc::clone(&builder.engine);
        let image_of = move |name: &str| {
            let name = name.split_once('@').map_or(name, |(name, _)| name);
            engine.images.resolve(name).ok().map(|image| image.id.to_string())
        };
        self.teller = Some(Teller::new(script, image_of));
        self.plan = Some(Arc::clone(&planned.plan));
        self.file = Some(file);
    }
}

async fn finish(
    builder: &Arc<Builder>,
    asked: &Asked,
    built: Built,
    context: Option<&Tree>,
    known: &mut Known,
    to: &mpsc::Sender<Said>,
) -> Result<ImageId> {
    let [part] = built.parts.as_slice() else {
        return Err(Error::unsupported("building for several platforms without BuildKit"));
    };
    let mut part = part.clone();
    if let Some(plan) = &known.plan {
        describe(&mut part, plan, context).await?;
    }
    let finished = Finished::of(&part, built.epoch, false).await?;
    let was_known = builder.engine.images.resolve(&finished.id().to_string()).is_ok();
    let named = Named { names: &asked.names, parent: None };
    let id = record(builder, &finished, named).await?;
    if let Some(teller) = &mut known.teller {
        say(to, teller.finish(&id.to_string(), was_known)).await;
    }
    let mut last = vec![Said::Image(id)];
    let stages = known.plan.as_ref().map_or(usize::MAX, |plan| plan.target.place() + 1);
    let warning =
        known.file.as_ref().and_then(|file| unused::warning(file, stages, &asked.arguments));
    last.extend(warning.map(Said::line));
    last.push(Said::line(format!("Successfully built {}", short(&id.to_string()))));
    for name in &asked.names {
        last.push(Said::line(format!("Successfully tagged {}", name.familiar())));
    }
    say(to, last).await;
    Ok(id)
}

/// Completes the history with what is known only now.
async fn describe(part: &mut Part, plan: &Plan, context: Option<&Tree>) -> Result<()> {
    let layers = part.stack.layers().await?;
    let new = layers.len().saturating_sub(part.made.len());
    let operations: Vec<_> = plan.stages.iter().flat_map(|stage| &stage.operations).collect();
    let made = part.made.iter().zip(layers.iter().skip(new)).filter_map(|(made, layer)| {
        let operation = operations.iter().find(|operation| operation.title == made.title)?;
        Some((*operation, layer.diff_id))
    });
    let made: Vec<_> =
        made.filter(|(operation, _)| matches!(operation.work, Work::Copy(_))).collect();
    name_sources(&mut part.image, made.into_iter(), context);
    Ok(())
}

/// Nobody may listen any more: then the build is given up elsewhere.
async fn say(to: &mpsc::Sender<Said>, said: Vec<Said>) {
    for said in said {
        let _ = to.send(said).await;
    }
}

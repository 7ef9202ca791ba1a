//! Files, and what is done for them.

mod classic;
mod findings;
mod operations;
mod refusals;
mod stages;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::{Lines, Result};
use crate::ignore::Matcher;
use crate::image::Image;
use crate::instruction::{Dockerfile, Owner, Sharing};
use crate::lint::{Checks, Linter, Warning};
use crate::platform::Platform;
use crate::syntax;

/// Reads names of images as far as these tests need it.
fn name_of(name: &str) -> std::result::Result<ImageName, String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:@".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(valid) {
        return Err("invalid reference format".to_owned());
    }
    let short = name.strip_prefix("docker.io/library/").unwrap_or(name);
    let tagged = if short.contains(':') { short.to_owned() } else { format!("{short}:latest") };
    Ok(ImageName { whole: format!("docker.io/library/{tagged}"), short: tagged })
}

fn options() -> Options {
    Options {
        arguments: BTreeMap::new(),
        target: None,
        labels: BTreeMap::new(),
        build_platform: Platform::new("linux", "amd64", ""),
        target_platform: None,
        several_platforms: false,
        contexts: BTreeMap::new(),
        fresh: Fresh::None,
        all_stages: false,
        ignored: Matcher::default(),
        manner: Manner::BuildKit,
        cache_namespace: String::new(),
        name_of,
    }
}

fn with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = options();
    change(&mut options);
    options
}

fn arguments(pairs: &[(&str, &str)]) -> Options {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    with(|options| options.arguments = pairs.collect())
}

/// An image that is not empty.
fn base(change: impl FnOnce(&mut Image)) -> Image {
    let mut image = Image::empty(&Platform::new("linux", "amd64", ""));
    image.rootfs.diff_ids.push("sha256:x".into());
    change(&mut image);
    image
}

fn graph(file: &str, options: Options) -> Result<Graph> {
    let checks = syntax::check(file.as_bytes()).unwrap_or_default();
    let mut linter = Linter::new(checks.parse::<Checks>()?);
    let file = Dockerfile::parse(file.as_bytes(), &mut linter)?;
    Graph::new(file, options, linter)
}

fn plan_with(file: &str, options: Options, image: &Image) -> Result<Plan> {
    let mut graph = graph(file, options)?;
    loop {
        let wanted = graph.wanted()?;
        if wanted.is_empty() {
            return graph.plan();
        }
        for wanted in wanted {
            graph.provide(wanted.stage, Provided { image: Some(image.clone()), name: None });
        }
    }
}

fn plan(file: &str) -> Plan {
    plan_with(file, options(), &base(|_| ())).unwrap()
}

fn wrong(file: &str) -> String {
    let error = plan_with(file, options(), &base(|_| ())).unwrap_err();
    assert!(error.lines().is_some(), "{file}: {error}");
    error.to_string()
}

fn history(plan: &Plan) -> Vec<&str> {
    plan.image.history.iter().map(|step| step.created_by.as_str()).collect()
}

fn titles(plan: &Plan) -> Vec<&str> {
    let stages = plan.stages.iter();
    stages.flat_map(|stage| &stage.operations).map(|done| done.title.as_str()).collect()
}

fn warnings(file: &str, options: Options) -> Vec<String> {
    let plan = plan_with(file, options, &base(|_| ())).unwrap();
    plan.warnings.iter().map(Warning::short).collect()
}

fn running(plan: &Plan) -> Vec<&Running> {
    let operations = plan.stages.iter().flat_map(|stage| &stage.operations);
    let running = operations.filter_map(|operation| match &operation.work {
        Work::Run(running) => Some(&**running),
        _ => None,
    });
    running.collect()
}

fn copying(plan: &Plan) -> Vec<&Copying> {
    let operations = plan.stages.iter().flat_map(|stage| &stage.operations);
    let copying = operations.filter_map(|operation| match &operation.work {
        Work::Copy(copying) => Some(&**copying),
        _ => None,
    });
    copying.collect()
}

#[test]
fn histories_are_buildkits() {
    let plan = plan(
        "FROM a\nARG V=1\nENV A=b C=\"d e\"\nLABEL l=$A\nRUN apt-get update\nRUN [\"x\", \"y z\"]\n\
         WORKDIR /w\nWORKDIR /\nCOPY --chown=1 --chmod=755 --parents a $A .\nADD b /c/\n\
         COPY <<EOF /d\nhi\nEOF\nEXPOSE 80 443/TCP\nVOLUME /v /w\nUSER u\nSTOPSIGNAL 9\n\
         SHELL [\"bash\", \"-c\"]\nCMD x \"y\"\nENTRYPOINT [\"e\", \"f\"]\n\
         HEALTHCHECK --interval=30s CMD c d\nMAINTAINER me\nONBUILD RUN x\n",
    );
    let expected = [
        "ARG V=1",
        "ENV A=b C=d e",
        "LABEL l=b",
        "RUN |1 V=1 /bin/sh -c apt-get update # buildkit",
        "RUN |1 V=1 x y z # buildkit",
        "WORKDIR /w",
        "WORKDIR /",
        "COPY --parents --chown=1 --chmod=755 a b . # buildkit",
        "ADD b /c/ # buildkit",
        "COPY <<EOF /d # buildkit",
        "EXPOSE [443/tcp 80/tcp]",
        "VOLUME [/v /w]",
        "USER u",
        "STOPSIGNAL 9",
        "SHELL [bash -c]",
        "CMD [\"bash\" \"-c\" \"x \\\"y\\\"\"]",
        "ENTRYPOINT [\"e\" \"f\"]",
        r#"HEALTHCHECK &{["CMD-SHELL" "c d"] "30s" "0s" "0s" "0s" '\x00'}"#,
        "MAINTAINER me",
    ];
    assert_eq!(history(&plan), expected);
    let empty: Vec<bool> = plan.image.history.iter().map(|step| step.empty_layer).collect();
    let layers = empty.iter().filter(|empty| !**empty).count();
    assert_eq!((layers, plan.image.author.as_str()), (6, "me"));
    let config = &plan.image.config;
    assert_eq!(config.env[1..], ["A=b", "C=d e"]);
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("u", "/"));
    assert_eq!(config.on_build, ["RUN x"]);
}

#[test]
fn arguments_have_their_scope() {
    let file = "ARG V=1\nARG W=$V.0\nFROM a:$W AS x\nARG V\nARG N\nARG D=d$V\nRUN x\nFROM x\nRUN y\n\
                FROM a:$V\nRUN z";
    let of = |options| {
        let plan = plan_with(file, options, &base(|_| ())).unwrap();
        history(&plan).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        of(with(|options| options.target = Some("X".into()))),
        ["ARG V=1", "ARG N", "ARG D=d1", "RUN |3 V=1 N= D=d1 /bin/sh -c x # buildkit",]
    );
    assert_eq!(of(options()), ["RUN /bin/sh -c z # buildkit"]);
    let mut options = arguments(&[("V", "2"), ("N", "3"), ("OTHER", "4")]);
    options.target = Some("1".into());
    assert_eq!(
        of(options),
        [
            "ARG V=2",
            "ARG N=3",
            "ARG D=d2",
            "RUN |3 V=2 N=3 D=d2 /bin/sh -c x # buildkit",
            "RUN |3 V=2 N=3 D=d2 /bin/sh -c y # buildkit",
        ]
    );
}

#[test]
fn platforms_are_arguments() {
    let file = "FROM --platform=$BUILDPLATFORM a AS tools\nARG TARGETARCH TARGETPLATFORM\nRUN x\nFROM a\nCOPY --from=tools /x /";
    let options = with(|options| {
        options.target_platform = Some(Platform::new("linux", "arm64", ""));
    });
    let plan = plan_with(file, options, &base(|_| ())).unwrap();
    let of: Vec<String> = plan.stages.iter().map(|stage| stage.platform.to_string()).collect();
    assert_eq!(of, ["linux/amd64", "linux/arm64"]);
    let environment = &running(&plan)[0].environment;
    assert!(environment.contains(&("TARGETARCH".into(), "arm64".into())), "{environment:?}");
    assert_eq!(plan.image.architecture, "arm64");
    assert_eq!(plan.warnings.len(), 1, "the image that it got is for another one");
}

#[test]
fn labels_proxies_and_fresh_stages_come_from_outside() {
    let mut options = arguments(&[("http_proxy", "p"), ("X", "y")]);
    options.labels = [("l".to_owned(), "new".to_owned())].into_iter().collect();
    options.fresh = Fresh::These(vec!["ONE".into()]);
    let plan = plan_with("FROM a AS one\nLABEL l=old\nFROM one", options, &base(|_| ())).unwrap();
    assert_eq!(plan.image.config.labels["l"], "new");
    let proxies = [("HTTP_PROXY", "p"), ("http_proxy", "p")];
    assert_eq!(plan.proxies, proxies.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((plan.stages[0].fresh, plan.stages[1].fresh), (true, false));
}

proptest! {
    #[test]
    fn no_file_is_too_strange(
        lines in proptest::collection::vec(
            prop_oneof![
                "(ADD|COPY|VOLUME) (--from=[0-3a-c]|--chmod=[ugo+x0-7]{1,4}|)? [a-c$./:]{1,6} [a-c$./]{1,6}",
                "(ENV|ARG|LABEL) [a-c]=[a-c${}:#%/-]{0,10}",
                "(EXPOSE|USER|WORKDIR|STOPSIGNAL|CMD|RUN|ONBUILD RUN) [a-c0-9$/:-]{1,8}",
                "FROM [a-c$]{1,2}( AS [a-c])?",
                "RUN --mount=type=(cache|bind|secret),(from=[a-c],)?target=[a-c/$]{0,3} x",
            ],
            0..10,
        ),
    ) {
        let file = format!("FROM a AS a\n{}", lines.join("\n"));
        let _either = plan_with(&file, options(), &base(|_| ()));
    }
}

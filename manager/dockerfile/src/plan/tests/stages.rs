//! Which stages are needed, and what they begin with.

use super::*;

#[test]
fn only_what_is_needed_is_done_and_looked_up() {
    let file = "FROM a AS one\nRUN 1\nFROM b AS two\nRUN 2\nFROM one AS three\nCOPY --from=c /x /\n\
                RUN --mount=from=c,target=/c 3";
    let mut found = graph(file, options()).unwrap();
    let names: Vec<String> = found.wanted().unwrap().into_iter().map(|w| w.name).collect();
    assert_eq!(names, ["docker.io/library/a:latest", "docker.io/library/c:latest"]);
    assert!(graph(file, options()).unwrap().plan().unwrap_err().to_string().contains("looked up"));
    let plan = plan(file);
    let order: Vec<usize> = plan.stages.iter().map(|stage| stage.id.0).collect();
    assert_eq!(order, [3, 0, 2]);
    assert_eq!(plan.stages[2].base, Base::Stage(StageId(0)));
    let all = with(|options| options.all_stages = true);
    assert_eq!(plan_with(file, all, &base(|_| ())).unwrap().stages.len(), 4);
}

#[test]
fn contexts_take_the_place_of_images_and_stages() {
    let contexts = [("a", "docker-image://x"), ("two::linux/amd64", "local:y")];
    let contexts = contexts.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = with(|options| options.contexts = contexts.into_iter().collect());
    let file = "FROM a AS one\nFROM b AS two\nRUN never\nFROM one\nCOPY --from=two / /\nFROM scratch\nCOPY --from=2 / /";
    let mut found = graph(file, options).unwrap();
    let wanted = found.wanted().unwrap();
    let of: Vec<_> = wanted.iter().map(|w| (w.name.as_str(), w.context.as_deref())).collect();
    assert_eq!(of, [("docker-image://x", Some("a")), ("local:y", Some("two::linux/amd64"))]);
    for wanted in wanted {
        found.provide(wanted.stage, Provided::default());
    }
    let plan = found.plan().unwrap();
    assert_eq!(plan.stages.iter().map(|stage| stage.operations.len()).sum::<usize>(), 2);
}

#[test]
fn images_leave_instructions() {
    let image = base(|image| {
        image.config.on_build =
            vec!["ARG X=1".into(), "RUN prepare".into(), "COPY --from=tool /t /".into()];
    });
    let mut found = graph("FROM a AS a\nRUN own\n", options()).unwrap();
    let first = found.wanted().unwrap();
    found.provide(first[0].stage, Provided { image: Some(image), name: None });
    let second = found.wanted().unwrap();
    assert_eq!(second[0].name, "docker.io/library/tool:latest");
    found.provide(second[0].stage, Provided { image: Some(base(|_| ())), name: None });
    assert!(found.wanted().unwrap().is_empty());
    let plan = found.plan().unwrap();
    assert_eq!(
        titles(&plan),
        ["[2/5] ONBUILD RUN prepare", "[3/5] ONBUILD COPY --from=tool /t /", "[4/5] RUN own"]
    );
    assert!(plan.image.config.on_build.is_empty());
    let plan = self::plan("FROM a AS x\nONBUILD RUN later\nFROM x AS y\nFROM y");
    assert_eq!(history(&plan), ["RUN /bin/sh -c later # buildkit"], "once only");
    let bad = base(|image| image.config.on_build = vec!["FROM x".into()]);
    let error = plan_with("FROM b\nFROM a\n", options(), &bad).unwrap_err();
    assert_eq!(error.lines(), Some(Lines::one(2)));
}

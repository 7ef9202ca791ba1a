//! Plans with the habits of docker's builder before `BuildKit`.

use super::*;

fn classic(file: &str, change: impl FnOnce(&mut Options)) -> Result<Plan> {
    let options = with(|options| {
        options.manner = Manner::Classic;
        change(options);
    });
    plan_with(file, options, &base(|_| {}))
}

fn history(plan: &Plan) -> Vec<(&str, bool)> {
    plan.image.history.iter().map(|step| (step.created_by.as_str(), step.empty_layer)).collect()
}

#[test]
fn the_history_is_in_its_words() {
    let file = "FROM x\nARG A\nARG B=1\nENV C=2\nRUN make\nCOPY --chown=1 a /b\nEXPOSE 80 90/udp\n\
                ONBUILD RUN x\nWORKDIR /w\nWORKDIR /\nSHELL [\"/bin/s\"]\nCMD go\n\
                HEALTHCHECK CMD true\n";
    let plan = classic(file, |options| {
        options.arguments.insert("A".to_owned(), "5".to_owned());
        options.labels.insert("l".to_owned(), "m".to_owned());
    })
    .unwrap();
    let expected = [
        ("/bin/sh -c #(nop)  ARG A", true),
        ("/bin/sh -c #(nop)  ARG B=1", true),
        ("/bin/sh -c #(nop)  ENV C=2", true),
        ("|2 A=5 B=1 /bin/sh -c make", false),
        ("/bin/sh -c #(nop) COPY --chown=1 {sources} in /b ", false),
        ("/bin/sh -c #(nop)  EXPOSE 80 90/udp", true),
        ("/bin/sh -c #(nop)  ONBUILD RUN x", true),
        ("/bin/sh -c #(nop) WORKDIR /w", false),
        ("/bin/sh -c #(nop) WORKDIR /", true),
        ("/bin/s #(nop)  SHELL [/bin/s]", true),
        ("/bin/s #(nop)  CMD [\"/bin/s\" \"go\"]", true),
        ("/bin/s #(nop)  HEALTHCHECK &{[CMD-SHELL true] 0s 0s 0s 0s 0}", true),
        ("/bin/s #(nop)  LABEL l=m", true),
    ];
    assert_eq!(history(&plan), expected);
    assert!(!plan.image.config.args_escaped);
    assert!(plan.image.history.iter().all(|step| step.comment.is_empty()));
}

#[test]
fn an_author_is_named_from_then_on_and_not_inherited() {
    let plan = classic("FROM x AS a\nMAINTAINER me\nRUN y\nFROM a\nRUN z\n", |_| {}).unwrap();
    let authors: Vec<&str> = plan.image.history.iter().map(|step| step.author.as_str()).collect();
    assert_eq!(authors, ["me", "me", ""]);
    assert_eq!(plan.image.author, "");
}

#[test]
fn what_only_buildkit_has_is_refused() {
    for (instruction, flag) in [
        ("RUN --mount=type=tmpfs,target=/x true", "mount"),
        ("RUN --network=none true", "network"),
        ("COPY --chmod=755 a /", "chmod"),
        ("ADD --chmod=755 a /", "chmod"),
    ] {
        let error = classic(&format!("FROM x\n{instruction}\n"), |_| {}).unwrap_err();
        let expected = format!("the --{flag} option requires BuildKit. Refer to ");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

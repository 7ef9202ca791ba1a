//! What is done, in detail.

use super::*;

#[test]
fn operations_are_titled() {
    let plan = plan(
        "FROM a AS x\nENV V=1\nRUN make $V \"$V\" $N\nCOPY \"a\" $V\nFROM x\nworkdir /$V\nrun <<EOF\necho\nmore\nEOF\n",
    );
    let Base::Image { title, .. } = &plan.stages[0].base else { panic!() };
    assert_eq!(title, "[x 1/3] FROM docker.io/library/a:latest");
    assert_eq!(
        titles(&plan),
        [
            "[x 2/3] RUN make 1 \"1\" $N",
            "[x 3/3] COPY a 1",
            "[stage-1 1/2] WORKDIR /1",
            "[stage-1 2/2] RUN <<EOF (echo...)",
        ]
    );
    let several = with(|options| options.several_platforms = true);
    let file = "FROM --platform=linux/arm64 a\nARG TARGETPLATFORM\nRUN x\n";
    let plan = plan_with(file, several, &base(|_| ())).unwrap();
    assert_eq!(titles(&plan), ["[linux/arm64->amd64 2/2] RUN x"]);
}

#[test]
fn commands_get_the_variables_and_the_directory_then() {
    let image = base(|image| {
        image.config.env = vec!["A=1".into()];
        image.config.user = "u".into();
        image.config.working_dir = "/base".into();
        image.config.cmd = Some(vec!["old".into()]);
    });
    let plan = plan_with(
        "FROM a\nWORKDIR sub\nRUN x\nENV A=2 B=$A\nUSER v:w\nRUN y\nENTRYPOINT [\"new\"]",
        options(),
        &image,
    )
    .unwrap();
    let [first, second] = running(&plan)[..] else { panic!() };
    assert_eq!((first.directory.as_str(), first.user.as_str()), ("/base/sub", "u"));
    assert_eq!(first.environment[0], ("A".into(), "1".into()));
    assert_eq!(second.user, "v:w");
    assert_eq!(second.environment[1..], [("A".into(), "2".into()), ("B".into(), "1".into())]);
    assert_eq!(second.environment[0].0, "PATH");
    assert_eq!(plan.image.config.cmd, None, "it was meant for another entry point");
    let Work::Make(made) = &plan.stages[0].operations[0].work else { panic!() };
    assert_eq!((made.path.as_str(), made.user.as_str()), ("/base/sub", "u"));
}

#[test]
fn documents_are_lines_programs_or_files() {
    let plan = plan(
        "FROM a\nRUN <<EOF\necho $A\nEOF\nRUN <<-X\n\t#!/bin/python\n\tprint()\nX\n\
         RUN cat <<A <<B > c\none\nA\ntwo\nB\nENV V=v\nCOPY <<F <<'G' /\n$V \"q\"\nF\n$V\nG\n",
    );
    let runs = running(&plan);
    assert_eq!(runs[0].arguments, ["/bin/sh", "-c", "echo $A\n"]);
    assert_eq!(runs[1].arguments, ["/bin/sh", "-c", "/dev/pipes/X"]);
    let script = runs[1].script.as_ref().unwrap();
    assert_eq!(
        (script.path.as_str(), script.text.as_str()),
        ("/dev/pipes/X", "#!/bin/python\nprint()\n")
    );
    assert_eq!(runs[2].arguments[2], "cat <<A <<B > c\none\nA\ntwo\nB");
    let document = |name: &str, text: &str| Item::Document { name: name.into(), text: text.into() };
    assert_eq!(copying(&plan)[0].items, [document("F", "v \"q\"\n"), document("G", "$V\n")]);
    assert_eq!(plan.context, Context::Nothing);
    assert!(wrong("FROM a\nRUN <<../x\n#!/bin/sh\n../x").contains("can't be named"));
}

#[test]
fn copies_say_all_that_is_to_be_known() {
    let plan = plan(
        "FROM a AS one\nFROM a\nWORKDIR /w\nENV O=1:2\nCOPY --from=one --chown=$O --link /x ../y z/\n\
         COPY --from=0 --exclude=*.md a .\nCOPY --parents --chmod=u+x src/./*/a b/c /d\n\
         ADD --unpack=false --keep-git-dir https://x/a%20b.tar https://x/r.git#v1 l /e\n",
    );
    let stage = |index| Origin::Stage(StageId(index));
    let files = |origin, path: &str, selection, archive| Item::Files {
        origin,
        path: path.to_owned(),
        selection,
        archive,
    };
    let copies = copying(&plan);
    assert_eq!(
        copies[0].items,
        [files(stage(0), "/x", None, Archive::Kept), files(stage(0), "/y", None, Archive::Kept),]
    );
    assert_eq!((copies[0].destination.as_str(), copies[0].owner.as_str()), ("/w/z/", "1:2"));
    assert!(copies[0].link && copies[0].mode.is_none());
    assert_eq!(
        (copies[1].destination.as_str(), &copies[1].exclude[..]),
        ("/w/", &["*.md".to_owned()][..])
    );
    let selection = |pattern: &str, required: Option<&str>| {
        Some(Selection { pattern: pattern.into(), required: required.map(str::to_owned) })
    };
    assert_eq!(
        copies[2].items,
        [
            files(Origin::Context, "/src", selection("*/a", None), Archive::Kept),
            files(Origin::Context, "/", selection("b/c", Some("/b/c")), Archive::Kept),
        ]
    );
    let [Item::Url { name, archive, .. }, Item::Git(git), local] = &copies[3].items[..] else {
        panic!("{copies:?}")
    };
    assert_eq!((name.as_str(), *archive), ("a b.tar", Archive::Kept));
    assert_eq!((git.reference.as_str(), git.keep_git_dir), ("v1", Some(true)));
    assert_eq!(*local, files(Origin::Context, "/l", None, Archive::Kept));
    let expected = ["b/c", "l", "src/*/a"].map(str::to_owned).to_vec();
    assert_eq!(plan.context, Context::Paths(expected));
}

#[test]
fn mounts_are_placed() {
    let plan = plan_with(
        "FROM a AS b\nFROM a\nWORKDIR /w\nARG ID=i\n\
         RUN --mount=from=b,source=x,target=rel --mount=target=/ctx,rw \
         --mount=type=cache,target=/c/../d,id=$ID --mount=type=cache,target=/e/ \
         --mount=type=secret,id=s --mount=type=secret,id=t,env=T --mount=type=ssh make $T",
        with(|options| options.cache_namespace = "ns".into()),
        &base(|_| ()),
    )
    .unwrap();
    let cache = |id: &str| PlannedMountKind::Cache {
        id: id.into(),
        sharing: Sharing::Shared,
        origin: None,
        path: "/".into(),
        read_only: false,
        owner: Owner::default(),
    };
    let secret = |id: &str, env: Option<&str>| PlannedMountKind::Secret {
        id: id.into(),
        env: env.map(str::to_owned),
        required: false,
        owner: Owner::default(),
    };
    let bind = |origin, path: &str, read_only| PlannedMountKind::Bind {
        origin,
        path: path.into(),
        read_only,
    };
    let ssh =
        PlannedMountKind::Ssh { id: "default".into(), required: false, owner: Owner::default() };
    let expected = [
        (bind(Origin::Stage(StageId(0)), "/x", true), Some("/w/rel")),
        (bind(Origin::Context, "/", false), Some("/ctx")),
        (cache("ns/i"), Some("/d")),
        (cache("ns//e"), Some("/e")),
        (secret("s", None), Some("/run/secrets/s")),
        (secret("t", Some("T")), None),
        (ssh, None),
    ];
    let expected: Vec<PlannedMount> = expected
        .into_iter()
        .map(|(kind, target)| PlannedMount { kind, target: target.map(str::to_owned) })
        .collect();
    assert_eq!(running(&plan)[0].mounts, expected);
    assert_eq!(plan.context, Context::Everything);
    assert!(titles(&plan).last().unwrap().ends_with("make ****"), "{:?}", titles(&plan));
}

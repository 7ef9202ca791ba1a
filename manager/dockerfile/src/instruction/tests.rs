//! Instructions and what they mean.

use proptest::prelude::*;

use super::*;
use crate::error::Result;
use crate::lint::Linter;
use crate::lint::{Checks, Warning};

fn parse(file: &str) -> Result<Dockerfile> {
    Dockerfile::parse(file.as_bytes(), &mut Linter::default())
}

/// Reads one instruction in a stage.
fn instruction(line: &str) -> Result<Instruction> {
    let mut file = parse(&format!("FROM a\n{line}"))?;
    Ok(file.stages.remove(0).steps.remove(0).instruction)
}

/// What is wrong with one instruction, without its place.
fn wrong(line: &str) -> String {
    let error = instruction(line).unwrap_err();
    assert_eq!(error.lines().map(|lines| lines.first), Some(2), "{line}");
    let text = error.to_string();
    text.strip_prefix("dockerfile parse error on line 2: ").unwrap_or(&text).to_owned()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn stages_have_bases_and_names() {
    let file = parse(
        "ARG V=1 W\n# build makes it\nfrom --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nFROM build\n",
    )
    .unwrap();
    let Instruction::Arg(arguments) = &file.arguments[0].instruction else { panic!() };
    assert_eq!((arguments[0].default.as_deref(), &arguments[1].default), (Some("1"), &None));
    let first = &file.stages[0];
    assert_eq!((first.base.as_str(), first.name.as_deref()), ("a:$V", Some("build")));
    assert_eq!(first.platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!(first.description.as_deref(), Some("makes it"));
    assert_eq!((first.steps.len(), first.lines), (1, Lines::one(3)));
    assert_eq!(file.stages[1].name, None);
}

#[test]
fn files_without_stages_are_none() {
    for (file, expected) in [
        ("", "the Dockerfile cannot be empty"),
        ("ARG a", "dockerfile contains no stages to build"),
        ("RUN x", "no build stage in current context"),
        ("FROM", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
        (
            "FROM a b c",
            "dockerfile parse error on line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1b",
            "dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a\nRUNN x",
            "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)",
        ),
        ("FROM a\nfoobar x", "dockerfile parse error on line 2: unknown instruction: foobar"),
        ("FROM --plat=x a", "dockerfile parse error on line 1: unknown flag: --plat"),
    ] {
        assert_eq!(parse(file).unwrap_err().to_string(), expected);
    }
    assert!(parse(&"FROM a\n".repeat(1001)).is_err());
    assert!(parse(&("FROM a\n".to_owned() + &"RUN x\n".repeat(10_000))).is_err());
}

#[test]
fn copies_have_sources_and_documents() {
    let line = "COPY --from=x --chown=1:2 --chmod=755 --link --parents --exclude=a --exclude=b \
                c <<-EOF <<'F' /d/\n\ta $b\nEOF\n\tc\nF";
    let Instruction::Copy(copy) = instruction(line).unwrap() else { panic!() };
    let document =
        |name: &str, text: &str, expand| Document { name: name.into(), text: text.into(), expand };
    assert_eq!(
        *copy,
        Copy {
            sources: Sources {
                paths: strings(&["c"]),
                documents: vec![document("EOF", "a $b\n", true), document("F", "\tc\n", false)],
                destination: "/d/".into(),
            },
            from: Some("x".into()),
            owner: "1:2".into(),
            mode: "755".into(),
            link: true,
            parents: true,
            exclude: strings(&["a", "b"]),
        }
    );
    let line = "ADD --keep-git-dir=false --checksum=sha256:x --unpack=TRUE --link=false a b";
    let Instruction::Add(add) = instruction(line).unwrap() else { panic!() };
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (Some(false), Some(true), false));
    for (line, expected) in [
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
        ("COPY --chow=x a b", "unknown flag: --chow (did you mean chown?)"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --link=2 a b", "expecting boolean value for flag --link, not: 2"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: --from"),
        ("ADD --from=a a b", "unknown flag: --from"),
    ] {
        assert_eq!(wrong(line), expected);
    }
}

#[test]
fn commands_are_lines_or_lists() {
    let Instruction::Run(run) =
        instruction("RUN --network=none --security=insecure --device=a.b/c=d,required x  y")
            .unwrap()
    else {
        panic!()
    };
    assert_eq!(run.command.words, Words::Line(Some("x  y".into())));
    assert_eq!((run.network, run.security), (Network::None, Security::Insecure));
    assert_eq!(run.devices, [Device { name: "a.b/c=d".into(), required: true }]);
    let Instruction::Cmd(command) = instruction("CMD [\"a\", \"b c\"]").unwrap() else { panic!() };
    assert_eq!(command.words.with_shell(&strings(&["sh", "-c"])), ["a", "b c"]);
    let Instruction::Entrypoint(command) = instruction("ENTRYPOINT a").unwrap() else { panic!() };
    assert_eq!(command.words.with_shell(&strings(&["sh", "-c"])), ["sh", "-c", "a"]);
    for (line, expected) in [
        ("RUN --network=x y", "invalid network mode \"x\""),
        ("RUN --security=x y", "security \"x\" is not valid"),
        ("RUN --device=a,b y", "invalid field 'b' must be a key=value pair"),
        ("RUN --device=a,name=b y", "device name already set to a"),
        ("SHELL sh -c", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
    ] {
        assert_eq!(wrong(line), expected);
    }
}

fn mount(text: &str) -> Result<Mount> {
    let Instruction::Run(run) = instruction(&format!("RUN --mount={text} x"))? else { panic!() };
    run.mounts[0].read(|value| Ok(value.replace("$v", "value")))
}

#[test]
fn mounts_are_of_five_kinds() {
    let at = |kind, target: &str| Mount { kind, target: target.to_owned() };
    let owner = Owner { user: Some(1), group: Some(2), mode: Some(0o755) };
    for (text, expected) in [
        (
            "target=/a,from=b,source=$v",
            at(
                MountKind::Bind { from: Some("b".into()), source: "value".into(), read_only: true },
                "/a",
            ),
        ),
        (
            "type=bind,dst=/a,rw",
            at(MountKind::Bind { from: None, source: String::new(), read_only: false }, "/a"),
        ),
        (
            "type=cache,id=i,sharing=locked,target=/a,uid=1,gid=2,mode=0755",
            at(
                MountKind::Cache {
                    id: "i".into(),
                    sharing: Sharing::Locked,
                    from: None,
                    source: String::new(),
                    read_only: false,
                    owner,
                },
                "/a",
            ),
        ),
        (
            "type=tmpfs,size=64m,target=/a",
            at(MountKind::Tmpfs { size: 64 << 20, read_only: false }, "/a"),
        ),
        (
            "type=secret,required,env=E,target=/run/x",
            at(
                MountKind::Secret {
                    id: "x".into(),
                    env: Some("E".into()),
                    required: true,
                    owner: Owner::default(),
                },
                "/run/x",
            ),
        ),
        (
            "type=ssh,required=false",
            at(
                MountKind::Ssh { id: "default".into(), required: false, owner: Owner::default() },
                "",
            ),
        ),
    ] {
        assert_eq!(mount(text), Ok(expected), "{text}");
    }
}

#[test]
fn mounts_that_make_no_sense_are_refused() {
    for (text, expected) in [
        ("type=bnd,target=/a", "unsupported mount type \"bnd\" (did you mean bind?)"),
        ("type=cache,sharing=lockd", "unsupported sharing value \"lockd\" (did you mean locked?)"),
        ("target=/a,what=1", "unexpected key 'what' in 'what=1'"),
        ("targt=/a", "unexpected key 'targt' in 'targt=/a' (did you mean target?)"),
        ("target=/a,what", "invalid field 'what' must be a key=value pair"),
        ("target=/a,ro=maybe", "invalid value for ro: maybe"),
        ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
        ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("type=tmpfs,mode=1", "mode not allowed for \"tmpfs\" type mounts"),
        ("target=/a,uid=1", "uid not allowed for \"bind\" type mounts"),
        ("type=cache,mode=8", "invalid value 8 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,from=a,id=b", "secret mount should not have a from"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=ssh,source=b", "ssh does not support source"),
        ("type=bind,sharing=shared", "invalid cache sharing set for bind mount"),
    ] {
        assert_eq!(mount(text).unwrap_err().to_string(), expected, "{text}");
    }
    assert_eq!(
        wrong("RUN --mount=from=$x,target=/a y"),
        "'from' doesn't support variable expansion, define alias stage instead"
    );
    assert!(wrong("RUN --mount='a\"' y").starts_with("failed to parse csv mounts: parse error"));
}

#[test]
fn settings_are_read() {
    for (line, expected) in [
        ("EXPOSE 90 80/tcp", Instruction::Expose(strings(&["80/tcp", "90"]))),
        ("VOLUME [\"/a b\", \" /c \"]", Instruction::Volume(strings(&["/a b", "/c"]))),
        ("USER a:b", Instruction::User("a:b".into())),
        ("WORKDIR /a b", Instruction::Workdir("/a b".into())),
        ("STOPSIGNAL $S", Instruction::Stopsignal("$S".into())),
        ("MAINTAINER me", Instruction::Maintainer("me".into())),
        (
            "OnBuild  RUN --mount=target=/a x",
            Instruction::Onbuild("RUN --mount=target=/a x".into()),
        ),
        ("ONBUILD RUN <<E\na\nE", Instruction::Onbuild("RUN <<E\na\nE".into())),
    ] {
        assert_eq!(instruction(line), Ok(expected));
    }
    for (line, expected) in [
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =a", "ENV names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =a", "ARG names can not be blank"),
        ("LABEL --x a=b", "unknown flag: --x"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD onbuild RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD maintainer x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ] {
        assert_eq!(wrong(line), expected);
    }
}

#[test]
fn health_is_checked_as_said() {
    let line = "HEALTHCHECK --interval=5m --timeout=3s --start-period=0 --start-interval=1.5s --retries=2 cmd x y";
    let expected = Check {
        test: strings(&["CMD-SHELL", "x y"]),
        interval: 300_000_000_000,
        timeout: 3_000_000_000,
        start_period: 0,
        start_interval: 1_500_000_000,
        retries: 2,
    };
    assert_eq!(instruction(line), Ok(Instruction::Healthcheck(expected)));
    let none = Check { test: strings(&["NONE"]), ..Check::default() };
    assert_eq!(instruction("HEALTHCHECK none"), Ok(Instruction::Healthcheck(none)));
    let list = Check { test: strings(&["CMD", "a", "b"]), ..Check::default() };
    let found = instruction("HEALTHCHECK CMD [\"a\", \"b\"]");
    assert_eq!(found, Ok(Instruction::Healthcheck(list)));
    for (line, expected) in [
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK RUN x", "Unknown type \"RUN\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=x CMD x", "time: invalid duration \"x\""),
        ("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
    ] {
        assert_eq!(wrong(line), expected);
    }
}

#[test]
fn triggers_are_instructions_of_another_file() {
    let here = Lines::new(4, 5);
    let step = trigger_step("RUN <<E\na\nE", here).unwrap();
    assert_eq!(step.lines, here);
    for wrong in ["RUN a\nRUN b", "FROM a", "ONBUILD RUN a", "MAINTAINER a", "NONE", ""] {
        assert_eq!(trigger_step(wrong, here).unwrap_err().lines(), Some(here), "{wrong}");
    }
}

#[test]
fn what_is_odd_is_reported() {
    let file = "\
# check=experimental=all
FROM a as Build
MAINTAINER me
RUN a \\

  b
# something else
ARG x y
# check=skip=MaintainerDeprecated
maintainer you
";
    let mut linter = Linter::new("experimental=all".parse::<Checks>().unwrap());
    Dockerfile::parse(file.as_bytes(), &mut linter).unwrap();
    let found: Vec<String> = linter.into_warnings().iter().map(Warning::short).collect();
    assert_eq!(
        found,
        [
            "NoEmptyContinuation: Empty continuation line (line 6)",
            "StageNameCasing: Stage name 'Build' should be lowercase (line 2)",
            "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)",
            "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 3)",
            "InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>` (line 8)",
        ]
    );
}

proptest! {
    #[test]
    fn no_file_is_too_strange(
        lines in proptest::collection::vec(
            "(ADD|ARG|CMD|COPY|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|ONBUILD|RUN|SHELL|VOLUME) (--[a-z]{0,6}=?)?[-,=<\"'\\[\\]$\\\\a-c ]{0,20}",
            0..6,
        ),
    ) {
        let _either = parse(&format!("FROM a\n{}", lines.join("\n")));
    }

    #[test]
    fn no_mount_is_too_strange(text in "[a-z=,\"$]{0,30}") {
        let _either = mount(&text);
    }
}

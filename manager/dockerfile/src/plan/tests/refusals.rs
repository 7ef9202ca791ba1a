//! What can't be.

use super::*;

#[test]
fn what_cant_be_is_refused() {
    for (file, expected) in [
        ("FROM $X", "base name ($X) should not be blank"),
        ("FROM A", "failed to parse stage name \"A\": invalid reference format"),
        ("FROM --platform=$X a", "empty platform value from expression $X"),
        (
            "FROM --platform=nothing a",
            "failed to parse platform nothing: \"nothing\": unknown operating system or architecture: invalid argument",
        ),
        ("FROM a AS x\nCOPY --from=x a b", "circular dependency detected on stage: x"),
        (
            "FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nCOPY --from=x a b",
            "circular dependency detected on stage: x",
        ),
        (
            "FROM a AS x\nCOPY --from=y a b\nFROM x AS y\n",
            "cannot copy from stage \"y\", it needs to be defined before current stage \"x\"",
        ),
        ("FROM a\nCOPY --from=7 a b", "invalid stage index 7"),
        (
            "FROM a\nARG x\nCOPY --from=$x a b",
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        ("FROM a\nRUN --mount=type=tmpfs,target=/ x", "invalid mount target \"/\""),
        (
            "FROM a\nCOPY --chmod=9 a b",
            "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777",
        ),
        ("FROM a\nCOPY https://x/a b", "source can't be a URL for COPY"),
        ("FROM a\nCOPY https://x/a.git b", "source can't be a git ref for COPY"),
        ("FROM a\nADD --checksum=x a b", "checksum requires HTTP(S) or Git sources"),
        ("FROM a\nADD --checksum=x https://x/a b", "invalid checksum digest format"),
        ("FROM a\nSTOPSIGNAL X", "invalid signal: X"),
        ("FROM a\nEXPOSE x", "invalid containerPort: x"),
        ("FROM a\nWORKDIR ${x:?why}", "failed to process \"${x:?why}\": x: why"),
        (
            "FROM a\nRUN --device=a.b/c=d x",
            "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
        ),
    ] {
        assert_eq!(wrong(file), expected);
    }
    let target = |name: &str| with(|options| options.target = Some(name.to_owned()));
    let error = graph("FROM a AS build\nFROM b", target("biuld")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "target stage \"biuld\" could not be found (did you mean build?)"
    );
}

#[test]
fn bombs_are_refused() {
    let mut doubling = "FROM a\nENV v0=xxxxxxxx\n".to_owned();
    for n in 1..40 {
        doubling.push_str(&format!("ENV v{n}=$v{}$v{}\n", n - 1, n - 1));
    }
    assert!(wrong(&doubling).contains("longer by more than"));
    let mut chain = format!("FROM a AS s0\nENV v={}\n", "x".repeat(60_000));
    for n in 1..999 {
        chain.push_str(&format!("ENV v{n}=$v\nFROM s{} AS s{n}\n", n - 1));
    }
    assert!(wrong(&chain).contains("more than 256 MiB"));
    let mut stages = String::new();
    for n in 0..999 {
        stages.push_str(&format!("FROM a AS s{n}\nCOPY --from=s{} a b\n", n + 1));
    }
    stages.push_str("FROM s0 AS s999\n");
    assert!(wrong(&stages).contains("it needs to be defined before"));
    let mut images = "FROM a\n".to_owned();
    for n in 0..2_000 {
        images.push_str(&format!("COPY --from=image{n} a b\n"));
    }
    assert!(wrong(&images).contains("no more than 2000 stages and images"));
}

#[test]
fn what_takes_long_is_cut_short() {
    let mut file = "FROM a\n".to_owned();
    for n in 0..600 {
        file.push_str(&format!("ARG a{n}=1\nRUN x\nWORKDIR /w$b{n}$c{n}\n"));
    }
    let found = plan(&file);
    assert_eq!(found.warnings.len(), 1_000);
    assert_eq!(found.stages[0].operations.len(), 1_200);
}

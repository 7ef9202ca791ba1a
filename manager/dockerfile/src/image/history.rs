//! How an image came to be, instruction by instruction.

use serde::{Deserialize, Serialize};

/// What made this history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// One instruction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When it was done: set when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What is said of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// It made no layer.
    #[serde(skip_serializing_if = "super::is_false")]
    pub empty_layer: bool,
}

impl History {
    /// An instruction that made a layer.
    pub(crate) fn layer(instruction: String) -> Self {
        Self { created_by: instruction, comment: COMMENT.to_owned(), ..Self::default() }
    }

    /// An instruction, as docker's builder before `BuildKit` tells it.
    pub(crate) fn classic(instruction: String, author: &str, empty_layer: bool) -> Self {
        let author = author.to_owned();
        Self { created_by: instruction, author, empty_layer, ..Self::default() }
    }

    /// An instruction that made none.
    pub(crate) fn setting(instruction: String) -> Self {
        Self { empty_layer: true, ..Self::layer(instruction) }
    }
}

//! How Go reads and writes values. `BuildKit` is written in it, and what it prints stands in the
//! configurations of images.

pub(crate) mod csv;
pub(crate) mod duration;
pub(crate) mod path;
pub(crate) mod quote;
pub(crate) mod size;
pub(crate) mod suggest;

/// Reads a yes or no in one of the forms that Go's flags have.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

//! What goes wrong, in the words of docker's classic builder.

use tare_core::Kind;
use tare_dockerfile::plan::{Copying, Item, Operation, Origin, Plan, Work};

use crate::error::Error;

/// The error as it was told then, if there were words for it.
pub(super) fn in_old_words(error: Error, plan: Option<&Plan>) -> Error {
    let operation = plan.and_then(|plan| failed(&error, plan));
    let said = match operation.map(|operation| &operation.work) {
        Some(Work::Run(running)) => error.exit_code.map(|code| {
            let command = running.arguments.join(" ");
            format!("The command '{command}' returned a non-zero code: {code}")
        }),
        Some(Work::Copy(copying)) => missing(&error, copying),
        Some(Work::Make(_)) => None,
        None => plain(&error.message),
    };
    Error { message: said.unwrap_or_else(|| error.message.clone()), ..error }
}

/// What was not suggested then.
fn plain(message: &str) -> Option<String> {
    let (before, _) = message.rsplit_once(" (did you mean ")?;
    before.starts_with("target stage ").then(|| before.to_owned())
}

/// The operation that failed.
fn failed<'a>(error: &Error, plan: &'a Plan) -> Option<&'a Operation> {
    let lines = error.place.as_ref()?.lines;
    let mut operations = plan.stages.iter().flat_map(|stage| &stage.operations);
    operations.find(|operation| operation.lines == lines)
}

/// What there is to say of a file that is not there.
fn missing(error: &Error, copying: &Copying) -> Option<String> {
    if error.kind != Kind::NotFound {
        return None;
    }
    let (_, path) = error
        .message
        .trim_end_matches(": not found")
        .rsplit_once('"')
        .and_then(|(before, _)| before.rsplit_once('"'))?;
    let path = path.trim_start_matches('/');
    let from_context = copying
        .items
        .iter()
        .any(|item| matches!(item, Item::Files { origin: Origin::Context, .. }));
    Some(if from_context {
        format!(
            "COPY failed: file not found in build context or excluded by .dockerignore: stat \
             {path}: file does not exist"
        )
    } else {
        format!("COPY failed: stat {path}: file does not exist")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_not_guessed_at() {
        let error = |message: &str| in_old_words(Error::invalid(message), None).message;
        let expected = "target stage \"nope\" could not be found";
        assert_eq!(error("target stage \"nope\" could not be found (did you mean one?)"), expected);
        let unknown = "unknown instruction: FOO (did you mean FROM?)";
        assert_eq!(error(unknown), unknown);
    }
}

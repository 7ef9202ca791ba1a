//! Steps that take back what an operation has done so far.

use std::future::Future;
use std::pin::Pin;

use crate::error::Result;

type Step = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What to do, last step first, if the operation fails. Forgetting it keeps what was done.
#[derive(Default)]
pub(super) struct Undo {
    steps: Vec<(&'static str, Step)>,
}

impl Undo {
    /// Adds the step that takes back what was just done; nothing of it happens yet.
    pub(super) fn push(
        &mut self,
        what: &'static str,
        step: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.steps.push((what, Box::pin(step)));
    }

    /// Takes everything back, in reverse, to the end; what fails is logged.
    pub(super) async fn run(mut self, container: &str) {
        while let Some((what, step)) = self.steps.pop() {
            if let Err(error) = step.await {
                tracing::error!(container, %error, "undo: {what}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn steps_run_in_reverse_and_past_a_failure() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut undo = Undo::default();
        for number in 1..4 {
            let done = Arc::clone(&done);
            undo.push("step", async move {
                done.lock().unwrap().push(number);
                if number == 2 { Err(Error::system("no")) } else { Ok(()) }
            });
        }
        undo.run("id").await;
        assert_eq!(*done.lock().unwrap(), [3, 2, 1]);
    }
}

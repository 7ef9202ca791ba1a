//! When a container that has ended is started again.

use crate::container::RestartPolicy;
use crate::container::modes::{IpcMode, PidMode};
use crate::container::record::Container;
use crate::container::state::State;

/// Whether `container` is to be started again after it has ended with `code`.
pub(in crate::container) fn starts_again(container: &Container, code: i64) -> bool {
    if container.stopped_by_user {
        return false;
    }
    match container.host.restart_policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { maximum_retries } => {
            code != 0 && (maximum_retries == 0 || container.restart_count < maximum_retries)
        }
    }
}

/// Whether `container`, which has ended, is to be started because a manager starts. This is what
/// tells `always` from `unless-stopped`.
pub(in crate::container) fn starts_with_manager(container: &Container) -> bool {
    let State::Exited(exit) = &container.state else { return false };
    match container.host.restart_policy {
        RestartPolicy::Always => true,
        RestartPolicy::No | RestartPolicy::UnlessStopped | RestartPolicy::OnFailure { .. } => {
            starts_again(container, exit.code)
        }
    }
}

/// The policy that `container`'s shim is to follow as things are.
pub(in crate::container) fn of_shim(container: &Container) -> RestartPolicy {
    if container.stopped_by_user || is_started_here(container) {
        RestartPolicy::No
    } else {
        container.host.restart_policy
    }
}

/// Whether it is us who starts it again: what it joins of another container's process has to be
/// found anew each time.
fn is_started_here(container: &Container) -> bool {
    let host = &container.host;
    matches!(host.pid_mode, PidMode::Container(_)) || matches!(host.ipc_mode, IpcMode::Container(_))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::container::fixture;
    use crate::container::state::Exit;

    fn ended(policy: RestartPolicy) -> Container {
        let mut container = fixture::container();
        container.host.restart_policy = policy;
        container.state = State::Exited(Exit {
            code: 1,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            oom_killed: false,
            error: String::new(),
        });
        container
    }

    #[test]
    fn failures_count_for_one_policy_only() {
        let twice = ended(RestartPolicy::OnFailure { maximum_retries: 2 });
        assert!(starts_again(&twice, 1));
        assert!(!starts_again(&twice, 0));
        assert!(!starts_again(&Container { restart_count: 2, ..twice }, 1));
        let ever = ended(RestartPolicy::OnFailure { maximum_retries: 0 });
        assert!(starts_again(&Container { restart_count: 200, ..ever }, 1));
        assert!(starts_again(&ended(RestartPolicy::Always), 0));
        assert!(!starts_again(&ended(RestartPolicy::No), 1));
    }

    #[test]
    fn what_its_user_stopped_stays_so_and_only_always_comes_back_with_the_manager() {
        for (policy, comes_back) in [
            (RestartPolicy::No, false),
            (RestartPolicy::Always, true),
            (RestartPolicy::UnlessStopped, false),
            (RestartPolicy::OnFailure { maximum_retries: 0 }, false),
        ] {
            let stopped = Container { stopped_by_user: true, ..ended(policy) };
            assert!(!starts_again(&stopped, 1), "{policy:?}");
            assert_eq!(of_shim(&stopped), RestartPolicy::No);
            assert_eq!(starts_with_manager(&stopped), comes_back, "{policy:?}");
            assert!(!starts_with_manager(&Container {
                state: State::Created { failure: None },
                ..stopped
            }));
        }
    }

    #[test]
    fn a_container_that_joins_anothers_process_is_not_the_shims_to_start() {
        let mut container = ended(RestartPolicy::Always);
        assert_eq!(of_shim(&container), RestartPolicy::Always);
        container.host.pid_mode = PidMode::Container("other".to_owned());
        assert_eq!(of_shim(&container), RestartPolicy::No);
    }
}

//! A container with a limit of what it writes must not leave it: whoever owns a file could have it
//! count for another project of the file system's quotas.

use super::super::document::{Argument, Seccomp, Syscall};

/// The requests of ioctl(2) by which a file changes its project, or a directory no longer gives its
/// own to what is made in it: `FS_IOC_FSSETXATTR`; `FS_IOC_SETFLAGS` (`chattr -P`), and how
/// programs of 32 bits call that.
const SET_ATTRIBUTES: [u32; 3] = [0x401c_5820, 0x4008_6602, 0x4004_6602];
/// The system call that does it, too (Linux 6.17).
const NEWER: &str = "file_setattr";
const IOCTL: &str = "ioctl";
const ALLOW: &str = "SCMP_ACT_ALLOW";
const FAIL: &str = "SCMP_ACT_ERRNO";
const MASKED_EQUAL: &str = "SCMP_CMP_MASKED_EQ";

/// Lets no file change its project, nor a directory what it gives to its files. That takes
/// chattr(1) as a whole: a filter sees the request, and not which flags it is to set.
pub(crate) fn keep_projects(filter: &mut Seccomp) {
    let errno_ret = u32::try_from(libc::EPERM).ok();
    let rule = |name: &str, action: &str, args: Vec<Argument>| Syscall {
        names: vec![name.to_owned()],
        action: action.to_owned(),
        errno_ret: errno_ret.filter(|_| action == FAIL),
        args,
    };
    let mut had = false;
    for allowed in filter.syscalls.iter_mut().filter(|rule| rule.action == ALLOW) {
        had |= allowed.args.is_empty() && allowed.names.iter().any(|name| name == IOCTL);
        allowed.names.retain(|name| name != NEWER && (name != IOCTL || !allowed.args.is_empty()));
    }
    filter.syscalls.retain(|rule| !rule.names.is_empty());
    if filter.default_action == ALLOW {
        let refused = SET_ATTRIBUTES.map(|request| rule(IOCTL, FAIL, vec![masked(!0, request)]));
        filter.syscalls.extend(refused);
        filter.syscalls.push(rule(NEWER, FAIL, Vec::new()));
    } else if had {
        let others = all_but(&SET_ATTRIBUTES);
        filter.syscalls.extend(others.into_iter().map(|other| rule(IOCTL, ALLOW, vec![other])));
    }
}

/// What a request is like that is none of these. A filter can't say "any but these": each
/// condition holds for those that agree with one of these down to some bit, and differ there from
/// it and from all others that have agreed so far. The kernel looks at 32 bits alone.
fn all_but(requests: &[u32]) -> Vec<Argument> {
    let mut others = Vec::new();
    for bit in (0..u32::BITS).map(|bit| 1_u32 << bit) {
        // This bit and all above it.
        let mask = !(bit - 1);
        for request in requests {
            let other = (request ^ bit) & mask;
            let condition = masked(mask, other);
            if requests.iter().all(|request| request & mask != other)
                && !others.contains(&condition)
            {
                others.push(condition);
            }
        }
    }
    others
}

fn masked(mask: u32, value: u32) -> Argument {
    let (value, value_two) = (mask.into(), value.into());
    Argument { index: 1, value, value_two, op: MASKED_EQUAL.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::profile::{Conditions, Profile};
    use super::*;

    const CONDITIONS: Conditions<'_> =
        Conditions { capabilities: &[], processor: "amd64", kernel: (6, 17) };

    fn is_allowed(filter: &Seccomp, request: u64) -> bool {
        let mut rules =
            filter.syscalls.iter().filter(|rule| rule.names.iter().any(|name| name == IOCTL));
        let holds = |rule: &&Syscall| {
            rule.args
                .iter()
                .all(|arg| arg.op == MASKED_EQUAL && request & arg.value == arg.value_two)
        };
        rules.find(holds).map_or(filter.default_action == ALLOW, |rule| rule.action == ALLOW)
    }

    fn filters() -> [Seccomp; 2] {
        let open = Profile::parse(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let mut filters = [super::super::builtin().resolve(&CONDITIONS), open.resolve(&CONDITIONS)]
            .map(Option::unwrap);
        for filter in &mut filters {
            assert!(SET_ATTRIBUTES.iter().all(|request| is_allowed(filter, (*request).into())));
            keep_projects(filter);
        }
        filters
    }

    #[test]
    fn what_changes_projects_is_refused_however_it_is_written() {
        for filter in filters() {
            for request in SET_ATTRIBUTES.map(u64::from) {
                // The kernel does not look at the upper half.
                for request in [request, request | 1 << 32, request | !0 << 32] {
                    assert!(!is_allowed(&filter, request), "{request:x}");
                }
            }
            let by_new_call = filter
                .syscalls
                .iter()
                .any(|rule| rule.action == ALLOW && rule.names.iter().any(|name| name == NEWER));
            assert!(!by_new_call);
        }
    }

    #[test]
    fn all_other_requests_are_made() {
        // TCGETS, TIOCSWINSZ, FIONBIO, FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS.
        let mut others = vec![0x5401, 0x5414, 0x5421, 0x801c_581f, 0x8008_6601, 0, u32::MAX];
        for request in SET_ATTRIBUTES {
            others.extend((0..u32::BITS).map(|bit| request ^ 1 << bit));
            others.extend((0..31).map(|bit| request ^ 3 << bit));
            others.extend((0..u32::BITS).map(|bit| request.rotate_left(bit)));
        }
        others.retain(|other| !SET_ATTRIBUTES.contains(other));
        for filter in filters() {
            for other in &others {
                assert!(is_allowed(&filter, u64::from(*other)), "{other:x}");
            }
        }
    }
}

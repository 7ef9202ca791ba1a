//! A container with a limit of what it writes must not leave it: whoever owns a file could have it
//! count for another project of the file system's quotas.

use super::super::document::{Argument, Seccomp, Syscall};

/// The request of ioctl(2) by which a file changes its project (`FS_IOC_FSSETXATTR`).
const SET_ATTRIBUTES: u64 = 0x401c_5820;
/// A request has as many bits: the kernel looks at no others.
const BITS: u32 = 32;
/// The system call that does it, too (Linux 6.17).
const NEWER: &str = "file_setattr";
const IOCTL: &str = "ioctl";
const ALLOW: &str = "SCMP_ACT_ALLOW";
const FAIL: &str = "SCMP_ACT_ERRNO";
const MASKED_EQUAL: &str = "SCMP_CMP_MASKED_EQ";

/// Lets no file change its project.
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
        let all = u64::from(u32::MAX);
        filter.syscalls.push(rule(IOCTL, FAIL, vec![masked(all, SET_ATTRIBUTES)]));
        filter.syscalls.push(rule(NEWER, FAIL, Vec::new()));
    } else if had {
        // A filter can't say "any but this one": each rule allows those that differ in one bit.
        filter.syscalls.extend((0..BITS).map(|bit| {
            let bit = 1_u64 << bit;
            rule(IOCTL, ALLOW, vec![masked(bit, !SET_ATTRIBUTES & bit)])
        }));
    }
}

fn masked(mask: u64, value: u64) -> Argument {
    Argument { index: 1, value: mask, value_two: value, op: MASKED_EQUAL.to_owned() }
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

    #[test]
    fn one_request_is_refused_however_it_is_written() {
        let open = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#;
        let mut filters = vec![super::super::builtin().resolve(&CONDITIONS).unwrap()];
        filters.push(Profile::parse(open).unwrap().resolve(&CONDITIONS).unwrap());
        for filter in &mut filters {
            assert!(is_allowed(filter, SET_ATTRIBUTES));
            keep_projects(filter);
            // The kernel does not look at the upper half.
            for request in [SET_ATTRIBUTES, SET_ATTRIBUTES | 1 << 32, SET_ATTRIBUTES | !0 << 32] {
                assert!(!is_allowed(filter, request), "{request:x}");
            }
            // TCGETS, TIOCSWINSZ, FIONBIO, FS_IOC_FSGETXATTR, and its neighbours.
            for request in [0x5401, 0x5414, 0x5421, 0x801c_581f, 0x401c_5821, 0x401c_5822, 0] {
                assert!(is_allowed(filter, request), "{request:x}");
            }
            let by_new_call = filter
                .syscalls
                .iter()
                .any(|rule| rule.action == ALLOW && rule.names.iter().any(|name| name == NEWER));
            assert!(!by_new_call);
        }
    }
}

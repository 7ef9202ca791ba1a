//! What a filter says to system calls that are newer than its profile.
//!
//! A program that tries a new system call falls back to an old one when it hears `ENOSYS`, but
//! takes `EPERM` for a real denial. So a filter that denies by default gets a few instructions in
//! front, which answer `ENOSYS` to every number above the largest that the profile names on that
//! architecture.

use std::collections::BTreeSet;

use libseccomp::{ScmpArch, ScmpSyscall};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};

use super::filter::architecture;
use crate::linux::bpf::seccomp::Instruction;

// Operations of classic BPF.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// Where `struct seccomp_data` holds the number of the call and the architecture.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Set in the numbers of the x32 calls, which share an architecture with x86-64.
const X32_BIT: u32 = 1 << 30;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// `SECCOMP_RET_ERRNO` with `ENOSYS`.
const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS.cast_unsigned();

/// The instructions to put in front of the filter for `profile`; none where it lets unknown calls
/// through, or answers `ENOSYS` itself.
pub(super) fn prelude(profile: &LinuxSeccomp) -> Vec<Instruction> {
    let answers_itself = match profile.default_action() {
        // A tracer is trusted to know what it does.
        LinuxSeccompAction::ScmpActAllow
        | LinuxSeccompAction::ScmpActLog
        | LinuxSeccompAction::ScmpActTrace => true,
        LinuxSeccompAction::ScmpActErrno => {
            profile.default_errno_ret() == Some(libc::ENOSYS.cast_unsigned())
        }
        LinuxSeccompAction::ScmpActKill
        | LinuxSeccompAction::ScmpActKillThread
        | LinuxSeccompAction::ScmpActKillProcess
        | LinuxSeccompAction::ScmpActTrap
        | LinuxSeccompAction::ScmpActNotify => false,
    };
    if answers_itself { Vec::new() } else { assemble(&ceilings(profile)) }
}

/// The largest numbers that a profile names on one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ceiling {
    /// As `struct seccomp_data` has it.
    audit: u32,
    /// The largest number.
    largest: u32,
    /// On x86-64, the largest of the x32 numbers if the profile has that architecture too.
    x32: Option<u32>,
}

fn ceilings(profile: &LinuxSeccomp) -> Vec<Ceiling> {
    // libseccomp's filters always cover the architecture that they are made on.
    let mut architectures = vec![ScmpArch::native()];
    for name in profile.architectures().iter().flatten() {
        match architecture(*name) {
            Ok(ScmpArch::Native) | Err(_) => {}
            Ok(known) if architectures.contains(&known) => {}
            Ok(known) => architectures.push(known),
        }
    }
    let names: BTreeSet<&str> = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names())
        .map(String::as_str)
        .collect();
    let x32 =
        architectures.contains(&ScmpArch::X32).then(|| largest(&names, ScmpArch::X32)).flatten();
    architectures
        .iter()
        .filter_map(|architecture| {
            let audit = audit_number(*architecture)?;
            let largest = largest(&names, *architecture)?;
            let x32 = x32.filter(|_| audit == AUDIT_ARCH_X86_64);
            Some(Ceiling { audit, largest, x32 })
        })
        .collect()
}

/// The largest number among `names`; numbers below zero stand for calls that the architecture does
/// not have by themselves.
fn largest(names: &BTreeSet<&str>, architecture: ScmpArch) -> Option<u32> {
    names
        .iter()
        .filter_map(|name| ScmpSyscall::from_name_by_arch(name, architecture).ok())
        .filter_map(|call| u32::try_from(call.as_raw_syscall()).ok())
        .max()
}

/// The `AUDIT_ARCH_*` of an architecture; x32 has none of its own. On S/390 a call with a number
/// that the kernel does not know shows as number 0, so there is no telling by number.
fn audit_number(architecture: ScmpArch) -> Option<u32> {
    Some(match architecture {
        ScmpArch::X86 => 0x4000_0003,
        ScmpArch::X8664 => AUDIT_ARCH_X86_64,
        ScmpArch::Arm => 0x4000_0028,
        ScmpArch::Aarch64 => 0xc000_00b7,
        ScmpArch::Loongarch64 => 0xc000_0102,
        ScmpArch::Mips => 0x0000_0008,
        ScmpArch::Mips64 => 0x8000_0008,
        ScmpArch::Mips64N32 => 0xa000_0008,
        ScmpArch::Mipsel => 0x4000_0008,
        ScmpArch::Mipsel64 => 0xc000_0008,
        ScmpArch::Mipsel64N32 => 0xe000_0008,
        ScmpArch::Ppc => 0x0000_0014,
        ScmpArch::Ppc64 => 0x8000_0015,
        ScmpArch::Ppc64Le => 0xc000_0015,
        ScmpArch::Riscv64 => 0xc000_00f3,
        _ => return None,
    })
}

/// Writes the instructions: one block for each architecture, each with its own answer, and each
/// leaving for the instruction after the last block, where the filter starts.
fn assemble(ceilings: &[Ceiling]) -> Vec<Instruction> {
    let blocks: Vec<Vec<Instruction>> = ceilings.iter().map(block).collect();
    if blocks.is_empty() {
        return Vec::new();
    }
    let mut program = vec![plain(LOAD, ARCHITECTURE)];
    program.extend(blocks.into_iter().flatten());
    let end = program.len();
    for (at, instruction) in program.iter_mut().enumerate() {
        if instruction.code == JUMP {
            instruction.value = u32::try_from(end - at - 1).unwrap_or_default();
        }
    }
    program
}

/// The block for one architecture; other architectures jump over it. Jumps to the filter are
/// written without a distance.
fn block(ceiling: &Ceiling) -> Vec<Instruction> {
    if ceiling.audit != AUDIT_ARCH_X86_64 {
        return vec![
            test(IF_EQUAL, ceiling.audit, 0, 4),
            plain(LOAD, NUMBER),
            test(IF_GREATER, ceiling.largest, 0, 1),
            plain(RETURN, ENOSYS),
            plain(JUMP, 0),
        ];
    }
    let x32 = match ceiling.x32 {
        Some(largest) => test(IF_GREATER, largest, 1, 2),
        // Not in the profile: the filter has its own answer to the whole architecture.
        None => plain(JUMP, 0),
    };
    vec![
        test(IF_EQUAL, ceiling.audit, 0, 6),
        plain(LOAD, NUMBER),
        test(IF_ANY_BIT, X32_BIT, 0, 1),
        x32,
        test(IF_GREATER, ceiling.largest, 0, 1),
        plain(RETURN, ENOSYS),
        plain(JUMP, 0),
    ]
}

fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, value }
}

fn test(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIT_ARCH_I386: u32 = 0x4000_0003;

    /// Runs the prelude: an error number, or nothing where the filter decides.
    fn run(program: &[Instruction], architecture: u32, number: u32) -> Option<u32> {
        let (mut at, mut accumulator) = (0_usize, 0_u32);
        while at < program.len() {
            let step = program[at];
            let holds = match step.code {
                LOAD => {
                    accumulator = if step.value == NUMBER { number } else { architecture };
                    false
                }
                JUMP => {
                    at += step.value as usize;
                    false
                }
                RETURN => return Some(step.value & 0xffff),
                IF_EQUAL => accumulator == step.value,
                IF_GREATER => accumulator > step.value,
                IF_ANY_BIT => accumulator & step.value != 0,
                code => panic!("unknown instruction {code:#x}"),
            };
            at += 1 + usize::from(if holds { step.if_true } else { step.if_false });
        }
        assert_eq!(at, program.len(), "left for somewhere else than the filter");
        None
    }

    #[test]
    fn numbers_above_the_ceiling_are_unknown() {
        let program = assemble(&[
            Ceiling { audit: AUDIT_ARCH_X86_64, largest: 450, x32: Some(X32_BIT | 500) },
            Ceiling { audit: AUDIT_ARCH_I386, largest: 440, x32: None },
        ]);
        let enosys = Some(libc::ENOSYS.cast_unsigned());
        for (architecture, number, answer) in [
            (AUDIT_ARCH_X86_64, 0, None),
            (AUDIT_ARCH_X86_64, 450, None),
            (AUDIT_ARCH_X86_64, 451, enosys),
            (AUDIT_ARCH_X86_64, !X32_BIT, enosys),
            (AUDIT_ARCH_X86_64, X32_BIT | 500, None),
            (AUDIT_ARCH_X86_64, X32_BIT | 501, enosys),
            (AUDIT_ARCH_I386, 440, None),
            (AUDIT_ARCH_I386, 441, enosys),
            (0xc000_00b7, 9999, None),
        ] {
            assert_eq!(run(&program, architecture, number), answer, "{architecture:#x} {number}");
        }
    }

    #[test]
    fn x32_calls_of_a_profile_without_x32_are_left_to_the_filter() {
        let program = assemble(&[Ceiling { audit: AUDIT_ARCH_X86_64, largest: 9, x32: None }]);
        assert_eq!(run(&program, AUDIT_ARCH_X86_64, X32_BIT | 5000), None);
        assert_eq!(run(&program, AUDIT_ARCH_X86_64, 10), Some(libc::ENOSYS.cast_unsigned()));
    }

    #[test]
    fn permissive_profiles_need_no_prelude() {
        for json in [
            r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#,
            r#"{"defaultAction": "SCMP_ACT_LOG"}"#,
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
        ] {
            assert_eq!(prelude(&serde_json::from_str(json).unwrap()), []);
        }
    }
}

//! From the rules of a profile to a program, by way of libseccomp.

use std::fs::File;
use std::io::{Read, Seek};
use std::str::FromStr;

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use crate::error::{Context, Error, Result};
use crate::linux::bpf::seccomp::Instruction;

/// From this many rules on, a tree of comparisons is worth its cost. libseccomp before 2.5.5 makes
/// a wrong tree of no rules at all.
const WORTH_A_TREE: usize = 32;

/// The largest error number that a filter can return.
const LARGEST_ERRNO: u32 = 4095;

/// How many arguments a system call has at most.
const ARGUMENTS: u32 = 6;

/// Builds the program for `profile`.
pub(super) fn build(profile: &LinuxSeccomp) -> Result<Vec<Instruction>> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut filter = ScmpFilterContext::new(default).map_err(|error| wrap("create", error))?;
    for name in profile.architectures().iter().flatten() {
        let architecture = architecture(*name)?;
        filter.add_arch(architecture).map_err(|error| wrap(&format!("add {name}"), error))?;
    }
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    if rules.iter().map(|rule| rule.names().len()).sum::<usize>() > WORTH_A_TREE {
        filter.set_ctl_optimize(2).map_err(|error| wrap("optimise", error))?;
    }
    for rule in rules {
        let action = action(rule.action(), rule.errno_ret())?;
        // A rule that says what is true anyway is an error to libseccomp.
        if action != default {
            add_rule(&mut filter, rule, action)?;
        }
    }
    export(&filter)
}

/// The architecture that `config.json` calls `name`.
pub(super) fn architecture(name: Arch) -> Result<ScmpArch> {
    ScmpArch::from_str(&name.to_string())
        .map_err(|_| Error::unsupported(format!("seccomp: {name} is not known to libseccomp")))
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<ScmpAction> {
    // EPERM, which the specification gives where none is named.
    let number = errno.unwrap_or(1);
    if number > LARGEST_ERRNO {
        return Err(Error::invalid(format!(
            "seccomp: errnoRet {number} is not an error number (at most {LARGEST_ERRNO})"
        )));
    }
    let plain = match action {
        LinuxSeccompAction::ScmpActErrno => return Ok(ScmpAction::Errno(number.cast_signed())),
        LinuxSeccompAction::ScmpActTrace => {
            return Ok(ScmpAction::Trace(u16::try_from(number).unwrap_or(u16::MAX)));
        }
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            ScmpAction::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActNotify => ScmpAction::Notify,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
    };
    match errno {
        None => Ok(plain),
        Some(_) => Err(Error::invalid(format!("seccomp: {action} takes no errnoRet"))),
    }
}

/// Adds one rule for each of its names. A name that this libseccomp does not know is passed over:
/// the call is newer, and gets ENOSYS if the profile denies by default.
fn add_rule(filter: &mut ScmpFilterContext, rule: &LinuxSyscall, action: ScmpAction) -> Result<()> {
    let arguments = rule.args().as_deref().unwrap_or_default();
    let comparisons: Vec<ScmpArgCompare> =
        arguments.iter().map(comparison).collect::<Result<_>>()?;
    // Conditions on different arguments all have to hold. Of several on the same argument one is
    // enough: each becomes a rule of its own.
    let repeated = (0..ARGUMENTS)
        .any(|index| arguments.iter().filter(|arg| arg.index() == index as usize).count() > 1);
    for name in rule.names() {
        let Ok(call) = ScmpSyscall::from_name(name) else { continue };
        let outcome = if comparisons.is_empty() {
            filter.add_rule(action, call).map(drop)
        } else if repeated {
            comparisons.iter().try_for_each(|comparison| {
                filter.add_rule_conditional(action, call, &[*comparison]).map(drop)
            })
        } else {
            filter.add_rule_conditional(action, call, &comparisons).map(drop)
        };
        outcome.map_err(|error| wrap(&format!("add the rule for {name}"), error))?;
    }
    Ok(())
}

fn comparison(argument: &LinuxSeccompArg) -> Result<ScmpArgCompare> {
    let index = u32::try_from(argument.index()).ok().filter(|index| *index < ARGUMENTS);
    let index = index.ok_or_else(|| {
        Error::invalid(format!("seccomp: there is no argument {} of a syscall", argument.index()))
    })?;
    let (operator, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (ScmpCompareOp::NotEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpLt => (ScmpCompareOp::Less, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpEq => (ScmpCompareOp::Equal, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (ScmpCompareOp::Greater, argument.value()),
        // `value` is the mask and `valueTwo` what it has to leave.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (ScmpCompareOp::MaskedEqual(argument.value()), argument.value_two().unwrap_or_default())
        }
    };
    Ok(ScmpArgCompare::new(index, operator, value))
}

/// Takes the finished program out of libseccomp, which writes it to a file.
fn export(filter: &ScmpFilterContext) -> Result<Vec<Instruction>> {
    let memory = rustix::fs::memfd_create(c"seccomp", rustix::fs::MemfdFlags::CLOEXEC)
        .context(|| "seccomp: memfd_create")?;
    filter.export_bpf(&memory).map_err(|error| wrap("export", error))?;
    let mut file = File::from(memory);
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .context(|| "seccomp: read the program")?;
    parse(&bytes)
        .ok_or_else(|| Error::unsupported("seccomp: libseccomp exported half an instruction"))
}

/// Reads a program as the kernel lays it out.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Instruction>> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| instruction(*chunk)).collect())
}

fn instruction(bytes: [u8; 8]) -> Instruction {
    let [c0, c1, if_true, if_false, v0, v1, v2, v3] = bytes;
    Instruction {
        code: u16::from_ne_bytes([c0, c1]),
        if_true,
        if_false,
        value: u32::from_ne_bytes([v0, v1, v2, v3]),
    }
}

/// Lays a program out as the kernel does.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.if_true, instruction.if_false]);
        bytes.extend(instruction.value.to_ne_bytes());
    }
    bytes
}

fn wrap(what: &str, error: libseccomp::error::SeccompError) -> Error {
    Error::invalid(format!("seccomp: cannot {what}: {error}"))
}

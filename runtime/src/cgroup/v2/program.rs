//! Turns a list of devices into an eBPF program that answers "may this device be used?".
//!
//! The kernel hands the program a `struct bpf_cgroup_dev_ctx`: the kind of device in the low half
//! of its first word and the access in the high half, then major and minor number. The program
//! compares them with one exception after another and gives the default answer at the end.

use super::super::devices::{Access, Class, DeviceList, Devices};
use crate::linux::bpf::device::Instruction;

// Registers: the answer, the context (later free), and the four facts.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const SPARE: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Operations of struct bpf_insn (see Documentation/bpf/standardization/instruction-set.rst).
const LOAD_WORD: u8 = 0x61;
const AND_CONSTANT: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE_CONSTANT: u8 = 0xb4;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_UNLESS_SAME: u8 = 0x5e;
const EXIT: u8 = 0x95;

// The kinds of device (BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR).
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// The program for `list`.
pub(super) fn compile(list: &DeviceList) -> Vec<Instruction> {
    let mut program = vec![
        load(KIND, 0),
        constant(AND_CONSTANT, KIND, 0xffff),
        load(ACCESS, 0),
        constant(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for (devices, access) in &list.exceptions {
        program.extend(exception(*devices, *access, !list.allow_others));
    }
    program.extend(answer(list.allow_others));
    program
}

/// One exception: gives `allow` if the device and the access match, else falls through.
fn exception(devices: Devices, access: Access, allow: bool) -> Vec<Instruction> {
    let kind = match devices.class {
        Class::Block => BLOCK,
        Class::Character => CHARACTER,
    };
    let mut tests = vec![constant(JUMP_UNLESS_EQUAL, KIND, kind)];
    if access != Access::ALL {
        tests.push(register(MOVE_REGISTER, SPARE, ACCESS));
        tests.push(constant(AND_CONSTANT, SPARE, u32::from(access.bits())));
        tests.push(if allow {
            // All that is asked for has to be allowed ...
            register(JUMP_UNLESS_SAME, SPARE, ACCESS)
        } else {
            // ... but any part that is denied denies it.
            constant(JUMP_IF_EQUAL, SPARE, 0)
        });
    }
    for (fact, number) in [(MAJOR, devices.major), (MINOR, devices.minor)] {
        if let Some(number) = number {
            tests.push(constant(JUMP_UNLESS_EQUAL, fact, number));
        }
    }
    tests.extend(answer(allow));
    aim_at_end(&mut tests);
    tests
}

/// Makes every jump of a block lead behind its last instruction.
fn aim_at_end(block: &mut [Instruction]) {
    for (distance, instruction) in (0_i16..).zip(block.iter_mut().rev()) {
        if matches!(instruction.code, JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL | JUMP_UNLESS_SAME) {
            instruction.offset = distance;
        }
    }
}

fn answer(allow: bool) -> [Instruction; 2] {
    [constant(MOVE_CONSTANT, ANSWER, u32::from(allow)), constant(EXIT, ANSWER, 0)]
}

fn load(to: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: to | CONTEXT << 4, offset, immediate: 0 }
}

fn constant(code: u8, register: u8, value: u32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate: value.cast_signed() }
}

fn register(code: u8, to: u8, from: u8) -> Instruction {
    Instruction { code, registers: to | from << 4, offset: 0, immediate: 0 }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxDeviceCgroup;

    use super::*;

    /// What the program answers: an interpreter for the few instructions above.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [kind | access << 16, major, minor];
        let mut registers = [0_u32; 6];
        let mut at = 0_usize;
        loop {
            let step = program[at];
            let (to, from) = ((step.registers & 15) as usize, (step.registers >> 4) as usize);
            let value = step.immediate.cast_unsigned();
            let mut jump = false;
            match step.code {
                LOAD_WORD => registers[to] = context[step.offset as usize / 4],
                AND_CONSTANT => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE_CONSTANT => registers[to] = value,
                JUMP_IF_EQUAL => jump = registers[to] == value,
                JUMP_UNLESS_EQUAL => jump = registers[to] != value,
                JUMP_UNLESS_SAME => jump = registers[to] != registers[from],
                EXIT => return registers[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
            at += 1 + if jump { step.offset as usize } else { 0 };
        }
    }

    fn compiled(json: &str) -> Vec<Instruction> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        compile(&DeviceList::of_container(&rules).unwrap())
    }

    const MKNOD: u32 = 1;
    const READ: u32 = 2;
    const WRITE: u32 = 4;

    #[test]
    fn what_is_listed_is_allowed_and_nothing_else() {
        let program = compiled(
            r#"[{"allow":false,"access":"rwm"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"r"},
                {"allow":true,"type":"c","major":4294967295,"access":"rw"}]"#,
        );
        assert!(run(&program, CHARACTER, READ | WRITE, 1, 3), "/dev/null");
        assert!(run(&program, CHARACTER, READ | WRITE, 136, 77), "any terminal");
        assert!(run(&program, BLOCK, READ, 8, 0));
        assert!(!run(&program, BLOCK, WRITE, 8, 0));
        assert!(!run(&program, BLOCK, READ | WRITE, 8, 0));
        assert!(!run(&program, CHARACTER, READ, 8, 0));
        assert!(!run(&program, BLOCK, READ, 8, 1));
        assert!(run(&program, BLOCK, MKNOD, 8, 1), "any node may be made");
        assert!(run(&program, CHARACTER, READ, u32::MAX, 5), "numbers are not signed");
        assert!(!run(&program, CHARACTER, READ, 1, 1), "/dev/mem");
    }

    #[test]
    fn what_is_denied_is_denied_in_every_combination() {
        let program = compiled(
            r#"[{"allow":true,"type":"a","access":"rwm"},
                {"allow":false,"type":"b","major":8,"access":"w"}]"#,
        );
        assert!(run(&program, BLOCK, READ, 8, 3));
        assert!(!run(&program, BLOCK, WRITE, 8, 3));
        assert!(!run(&program, BLOCK, READ | WRITE, 8, 3));
        assert!(run(&program, BLOCK, WRITE, 9, 0));
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        /// Every program comes to its end, within itself, and says of each device what the list says.
        #[test]
        fn fuzz_program(
            text in crate::fuzz::mutated(b"a *:* rwm\nc 1:3 rwm\nb 8:* m\nc *:* m\nb 8:1 r\n"),
            major in 0u32..12, minor in 0u32..5, access in 1u32..8,
        ) {
            let list = DeviceList::of_cgroup(&String::from_utf8_lossy(&text));
            let program = compile(&list);
            for (kind, class) in [(BLOCK, Class::Block), (CHARACTER, Class::Character)] {
                let named = list.exceptions.keys().any(|devices| {
                    devices.class == class
                        && devices.major.is_none_or(|number| number == major)
                        && devices.minor.is_none_or(|number| number == minor)
                });
                let said = run(&program, kind, access, major, minor);
                proptest::prop_assert!(named || said == list.allow_others);
            }
        }
    }
}

//! The program's first instructions.
//!
//! A command that enters a container has to run from a protected file (see [`crate::shield`]), so
//! the program executes itself once more from one. All that the C library and Rust do before `main`
//! would then be done twice, and that takes longer than most of what `tare` does for a container.
//! So the kernel is told to begin here: [`first`] protects the file and executes it in three system
//! calls, or, when there is nothing to do or any of them fails, goes on to the C library's
//! `_start` as if it had not been there.
//!
//! Nothing is set up yet when this runs. It must not call anything: neither of the C library, whose
//! functions are not linked to their variants for this processor, nor of Rust's.

use std::arch::{asm, global_asm};
use std::ptr::{read_volatile, without_provenance};

use crate::shield::{BY_DESCRIPTOR, ENTERING, OWN_FILE};

// The kernel leaves the arguments, the environment and the auxiliary vector on the stack, and the C
// library wants to find the stack pointer at them, and the register in which a dynamic linker would
// have left a function, as they were.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl tare_entry",
    ".type tare_entry, @function",
    "tare_entry:",
    "mov r12, rsp",
    "mov r13, rdx",
    "mov rdi, rsp",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {first}",
    "mov rsp, r12",
    "mov rdx, r13",
    "jmp _start",
    ".size tare_entry, . - tare_entry",
    first = sym first,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl tare_entry",
    ".type tare_entry, %function",
    "tare_entry:",
    "mov x19, x0",
    "mov x0, sp",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {first}",
    "mov x0, x19",
    "b _start",
    ".size tare_entry, . - tare_entry",
    first = sym first,
);

/// What the kernel left on the stack.
struct Given {
    argc: usize,
    argv: *const *const u8,
    envp: *const *const u8,
}

/// Executes the program from a protected file if its command asks for that, and returns if not.
///
/// # Safety
/// `stack` is what the kernel starts a program with: the number of arguments, their addresses and
/// a zero, the addresses of the environment's entries and a zero, and the auxiliary vector.
unsafe extern "C" fn first(stack: *const usize) {
    // SAFETY: by the contract above all of these lie on the stack, in this order. Every string is
    // ended by a zero byte, and all of it stays as it is while the process lives.
    unsafe {
        let argc = read_volatile(stack);
        let argv = stack.add(1).cast::<*const u8>();
        let envp = argv.add(argc + 1);
        let given = Given { argc, argv, envp };
        if enters(&given) && !is_by_descriptor(&given) {
            execute_protected(&given);
        }
    }
}

/// Whether a word of the command line is a command that enters containers.
///
/// # Safety
/// As for [`first`].
unsafe fn enters(given: &Given) -> bool {
    let mut at = 1;
    while at < given.argc {
        // SAFETY: `at` is below the number of arguments.
        let word = unsafe { read_volatile(given.argv.add(at)) };
        let mut name = 0;
        while name < ENTERING.len() {
            // SAFETY: `name` is below the length; `word` is a C string.
            if unsafe { starts_with(word, *ENTERING.as_ptr().add(name)) } {
                return true;
            }
            name += 1;
        }
        at += 1;
    }
    false
}

/// Whether the kernel was asked to execute an open file: this program, protected, most likely.
///
/// # Safety
/// As for [`first`].
unsafe fn is_by_descriptor(given: &Given) -> bool {
    // SAFETY: the environment ends with a zero, and the auxiliary vector after it with AT_NULL.
    // AT_EXECFN holds the address of a C string.
    unsafe {
        let mut entry = given.envp;
        while !read_volatile(entry).is_null() {
            entry = entry.add(1);
        }
        let mut pair = entry.add(1).cast::<usize>();
        loop {
            match read_volatile(pair) as u64 {
                libc::AT_NULL => return false,
                libc::AT_EXECFN => {
                    let name = without_provenance(read_volatile(pair.add(1)));
                    return starts_with(name, BY_DESCRIPTOR[0])
                        || starts_with(name, BY_DESCRIPTOR[1]);
                }
                _ => pair = pair.add(2),
            }
        }
    }
}

/// Executes this program from a copy of its mount that is read-only and attached nowhere. Returns
/// only if that fails.
///
/// # Safety
/// As for [`first`].
unsafe fn execute_protected(given: &Given) {
    /// `struct mount_attr` with MOUNT_ATTR_RDONLY set.
    const READ_ONLY: [u64; 4] = [1, 0, 0, 0];
    const EMPTY: &[u8] = b"\0";
    let clone = (libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC) as usize;
    let here = libc::AT_FDCWD as usize;
    let this = libc::AT_EMPTY_PATH as usize;
    // SAFETY: every address given stands for what the call expects and outlives it: C strings, an
    // attribute structure of the length given, and two lists of C strings that end with a zero.
    unsafe {
        let own = OWN_FILE.as_ptr() as usize;
        let mount = call(libc::SYS_open_tree, [here, own, clone, 0, 0]);
        if mount < 0 {
            return;
        }
        let mount = mount as usize;
        let empty = EMPTY.as_ptr() as usize;
        let attributes = READ_ONLY.as_ptr() as usize;
        let length = size_of_val(&READ_ONLY);
        if call(libc::SYS_mount_setattr, [mount, empty, this, attributes, length]) >= 0 {
            let (argv, envp) = (given.argv as usize, given.envp as usize);
            call(libc::SYS_execveat, [mount, empty, argv, envp, this]);
        }
        call(libc::SYS_close, [mount, 0, 0, 0, 0]);
    }
}

/// Whether the C string `text` starts with `start`, and ends there too if that ends with a zero.
///
/// # Safety
/// `text` is a C string.
unsafe fn starts_with(text: *const u8, start: &[u8]) -> bool {
    let mut at = 0;
    while at < start.len() {
        // SAFETY: all bytes before this one were equal to those of `start`, and none of them was
        // the last of `text`, which is a zero. The reads are volatile so that the compiler makes no
        // call to the C library out of this loop.
        if unsafe { read_volatile(text.add(at)) != read_volatile(start.as_ptr().add(at)) } {
            return false;
        }
        at += 1;
    }
    true
}

/// A system call. Gives what the kernel gives: a negative error number for a failure.
///
/// # Safety
/// The arguments are what the call expects.
#[inline(always)]
unsafe fn call(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the kernel changes no registers but those named.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}

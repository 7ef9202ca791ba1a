//! bpf(2), as far as programs of type `BPF_PROG_TYPE_CGROUP_DEVICE` need it.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const BPF_PROG_LOAD: c_long = 5;
const BPF_PROG_ATTACH: c_long = 8;
const BPF_PROG_DETACH: c_long = 9;
const BPF_PROG_GET_FD_BY_ID: c_long = 13;
const BPF_PROG_QUERY: c_long = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// How many programs one cgroup can carry (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// One eBPF instruction, laid out as `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Class, operation and mode.
    pub(crate) code: u8,
    /// Destination register in the low half, source in the high half.
    pub(crate) registers: u8,
    /// Offset of a jump or of a load.
    pub(crate) offset: i16,
    /// The constant.
    pub(crate) immediate: i32,
}

/// The `BPF_PROG_LOAD` part of `union bpf_attr`, up to the last field used here.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` part of `union bpf_attr`.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The `BPF_PROG_QUERY` part of `union bpf_attr`.
#[repr(C)]
struct QueryAttributes {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    /// `prog_attach_flags`, `link_ids`, `link_attach_flags`, `revision`: newer kernels write the
    /// last one without being asked.
    rest: [u64; 4],
}

/// The `BPF_PROG_GET_FD_BY_ID` part of `union bpf_attr`.
#[repr(C)]
struct IdAttributes {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a device program.
///
/// # Errors
/// bpf(2)'s: the program is malformed, the kernel has no such programs, or this process may not.
pub(crate) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        insns: address(program.as_ptr()),
        license: address(c"Apache-2.0".as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: `insns` and `license` point at data that outlives the call, `insn_cnt` is the number
    // of instructions there, and the kernel only reads both.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &raw const attributes) }?;
    // SAFETY: a successful BPF_PROG_LOAD returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts `program` on a cgroup beside those of its parents, in the place of `replaced` if given.
///
/// # Errors
/// bpf(2)'s.
pub(crate) fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if replaced.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: replaced.map_or(0, number),
    };
    // SAFETY: the attributes hold descriptors only; the kernel checks each.
    unsafe { bpf(BPF_PROG_ATTACH, &raw const attributes) }.map(drop)
}

/// Takes `program` off a cgroup.
///
/// # Errors
/// bpf(2)'s.
pub(crate) fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: the attributes hold descriptors only; the kernel checks each.
    unsafe { bpf(BPF_PROG_DETACH, &raw const attributes) }.map(drop)
}

/// The device programs on a cgroup itself (not those of its parents). Programs that this process
/// may not open are left out: they can only deny more.
///
/// # Errors
/// bpf(2)'s.
pub(crate) fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut query = QueryAttributes {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: address(ids.as_mut_ptr()),
        prog_cnt: 64,
        padding: 0,
        rest: [0; 4],
    };
    // SAFETY: `prog_ids` points at 64 ids, as `prog_cnt` says; the kernel writes no more than that,
    // and otherwise only to the fields of `query` itself, which has all fields up to the last that
    // it writes to.
    unsafe { bpf(BPF_PROG_QUERY, &raw mut query) }?;
    let mut programs = Vec::new();
    for id in ids.iter().take(query.prog_cnt as usize) {
        let attributes = IdAttributes { prog_id: *id, next_id: 0, open_flags: 0 };
        // SAFETY: the attributes hold plain numbers.
        match unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &raw const attributes) } {
            // SAFETY: a successful call returns a new descriptor that nobody else owns.
            Ok(fd) => programs.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(programs)
}

/// Calls bpf(2).
///
/// # Safety
/// `attributes` must be what `command` expects, and every address in it must be valid for what the
/// kernel does with it.
unsafe fn bpf<T>(command: c_long, attributes: *const T) -> io::Result<RawFd> {
    // SAFETY: the caller vouches for the attributes; their size is passed along.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

//! Programs that the kernel runs for us: eBPF to judge the use of devices, and classic BPF to judge
//! system calls.

pub(crate) mod device;
pub(crate) mod seccomp;

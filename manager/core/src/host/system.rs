//! Kernel, distribution, processors, memory.

use std::fs;
use std::path::Path;

/// The machine and its operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The distribution's name for people: os-release's `PRETTY_NAME`.
    pub distribution: String,
    /// The distribution's version: os-release's `VERSION_ID`; empty on a rolling one.
    pub distribution_version: String,
    /// The host's name.
    pub host_name: String,
    /// The processor's architecture.
    pub architecture: Architecture,
    /// Processors that this process may run on.
    pub processors: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Whether the kernel forwards IPv4 between interfaces.
    pub forwards_ipv4: bool,
}

/// A processor architecture, in the two spellings that container tools use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// The one that this program was built for.
    pub const fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self::X86_64;
        #[cfg(target_arch = "aarch64")]
        return Self::Arm64;
    }

    /// The name in image configurations and platforms ("amd64").
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The kernel's name ("x86_64").
    pub fn kernel_name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl System {
    /// Reads the facts.
    pub fn read() -> Self {
        let release = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        Self {
            kernel: kernel_setting("kernel/osrelease"),
            distribution: os_release(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            distribution_version: os_release(&release, "VERSION_ID").unwrap_or_default(),
            host_name: kernel_setting("kernel/hostname"),
            architecture: Architecture::here(),
            processors: processors(),
            memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            forwards_ipv4: kernel_setting("net/ipv4/ip_forward") == "1",
        }
    }

    /// The kernel's version as (major, minor), for comparisons.
    pub fn kernel_version(&self) -> (u32, u32) {
        let mut numbers = self
            .kernel
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }
}

/// The value of the setting /proc/sys/`name`.
fn kernel_setting(name: &str) -> String {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
    text.trim().to_owned()
}

/// Processors that this process may run on.
fn processors() -> usize {
    let allowed = rustix::thread::sched_getaffinity(None).map(|set| set.count()).unwrap_or(1);
    usize::try_from(allowed).unwrap_or(1)
}

/// The value of `key` in the text of an os-release file, without its quotes.
fn os_release(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix('=')?.trim();
        let quoted = ['"', '\''].iter().find_map(|&q| value.strip_prefix(q)?.strip_suffix(q));
        Some(quoted.unwrap_or(value).to_owned())
    })
}

/// `MemTotal` of the text of /proc/meminfo, in bytes.
fn memory(meminfo: &str) -> u64 {
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_come_without_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\n";
        assert_eq!(os_release(text, "PRETTY_NAME").unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(os_release(text, "VERSION_ID").unwrap(), "12");
        assert_eq!(os_release(text, "ID").unwrap(), "debian");
        assert_eq!(os_release(text, "VARIANT"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(memory("MemTotal:       24684084 kB\nMemFree: 1 kB\n"), 24_684_084 * 1024);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn a_kernel_version_compares() {
        let mut system = System::read();
        system.kernel = "6.18.44-cloud-v669".to_owned();
        assert_eq!(system.kernel_version(), (6, 18));
        system.kernel = "5.10".to_owned();
        assert!(system.kernel_version() >= (5, 10));
    }
}

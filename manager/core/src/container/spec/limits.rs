//! Limits in the runtime's words.

use rustix::io::Errno;

use super::document::{BlockIo, Cpu, Memory, Pids, ThrottleDevice, WeightDevice};
use crate::container::resources::{DeviceRate, DeviceWeight, Resources};
use crate::error::{Error, Result};

/// The period of the CFS quota that `--cpus` is turned into, in microseconds.
const PERIOD: u64 = 100_000;
/// Billionths of a CPU in one.
const WHOLE_CPU: i64 = 1_000_000_000;

/// The limits on memory, if there are any.
pub(crate) fn memory(resources: &Resources) -> Option<Memory> {
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let memory = Memory {
        limit: positive(resources.memory),
        reservation: positive(resources.memory_reservation),
        // -1 is what a new cgroup has, and some hosts can't even be told so.
        swap: positive(resources.memory_swap),
        swappiness: resources.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: resources.oom_kill_disable.filter(|disable| *disable),
    };
    Some(memory).filter(|memory| *memory != Memory::default())
}

/// The limits on processor time, if there are any.
pub(crate) fn cpu(resources: &Resources) -> Option<Cpu> {
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let signed = |value: i64| Some(value).filter(|value| *value != 0);
    let mut cpu = Cpu {
        shares: unsigned(resources.cpu_shares),
        quota: signed(resources.cpu_quota),
        period: unsigned(resources.cpu_period),
        realtime_runtime: signed(resources.cpu_realtime_runtime),
        realtime_period: unsigned(resources.cpu_realtime_period),
        cpus: resources.cpuset_cpus.clone(),
        mems: resources.cpuset_mems.clone(),
    };
    if resources.nano_cpus > 0 {
        let share = i128::from(resources.nano_cpus) * i128::from(PERIOD) / i128::from(WHOLE_CPU);
        cpu.period = Some(PERIOD);
        cpu.quota = i64::try_from(share).ok();
    }
    Some(cpu).filter(|cpu| *cpu != Cpu::default())
}

/// The limit on the number of processes, if there is one.
pub(crate) fn pids(resources: &Resources) -> Option<Pids> {
    resources.pids_limit.map(|limit| Pids { limit: if limit <= 0 { -1 } else { limit } })
}

/// Weights and limits of block I/O, if there are any.
///
/// # Errors
/// Not found for a device that isn't there.
pub(crate) fn block_io(resources: &Resources) -> Result<Option<BlockIo>> {
    let rates = |list: &[DeviceRate]| list.iter().map(rate).collect::<Result<Vec<_>>>();
    let block_io = BlockIo {
        weight: Some(resources.blkio_weight).filter(|weight| *weight > 0),
        weight_device: resources.blkio_weight_devices.iter().map(weight).collect::<Result<_>>()?,
        throttle_read_bps_device: rates(&resources.blkio_read_bps)?,
        throttle_write_bps_device: rates(&resources.blkio_write_bps)?,
        throttle_read_iops_device: rates(&resources.blkio_read_iops)?,
        throttle_write_iops_device: rates(&resources.blkio_write_iops)?,
    };
    Ok(Some(block_io).filter(|block_io| *block_io != BlockIo::default()))
}

fn weight(device: &DeviceWeight) -> Result<WeightDevice> {
    let (major, minor) = numbers(&device.path)?;
    Ok(WeightDevice { major, minor, weight: device.weight })
}

fn rate(device: &DeviceRate) -> Result<ThrottleDevice> {
    let (major, minor) = numbers(&device.path)?;
    Ok(ThrottleDevice { major, minor, rate: device.rate })
}

/// The numbers of the device at `path` of the host.
fn numbers(path: &str) -> Result<(u32, u32)> {
    let facts = rustix::fs::stat(path).map_err(|errno| {
        // In the words that the command line makes its exit code of.
        let no_file = "no such file or directory";
        let why = if errno == Errno::NOENT { no_file.to_owned() } else { errno.to_string() };
        Error::system(format!("stat {path}: {why}"))
    })?;
    let device = facts.st_rdev;
    Ok((rustix::fs::major(device), rustix::fs::minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_a_quota() {
        let resources = Resources { nano_cpus: WHOLE_CPU / 2, ..Resources::default() };
        let cpu = cpu(&resources).unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(50_000), Some(100_000)));
    }

    #[test]
    fn only_what_is_said_is_limited() {
        let nothing = Resources::default();
        assert_eq!((memory(&nothing), pids(&nothing)), (None, None));
        let unlimited = Resources { memory_swap: -1, pids_limit: Some(0), ..nothing };
        assert_eq!(memory(&unlimited), None);
        assert_eq!(pids(&unlimited), Some(Pids { limit: -1 }));
    }

    #[test]
    fn devices_are_told_by_their_numbers() {
        let rate = |path: &str| vec![DeviceRate { path: path.to_owned(), rate: 7 }];
        let resources = Resources { blkio_read_bps: rate("/dev/null"), ..Resources::default() };
        let told = block_io(&resources).unwrap().unwrap();
        let expected = ThrottleDevice { major: 1, minor: 3, rate: 7 };
        assert_eq!(told.throttle_read_bps_device, [expected]);
        assert_eq!(block_io(&Resources::default()).unwrap(), None);
        let missing = Resources { blkio_write_iops: rate("/dev/none"), ..Resources::default() };
        let error = block_io(&missing).unwrap_err().to_string();
        assert_eq!(error, "stat /dev/none: no such file or directory");
    }
}

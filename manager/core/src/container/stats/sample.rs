//! The figures of one container at one moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What a container used up to one moment, and what the machine did.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When it was read.
    pub read: Timestamp,
    /// What its cgroup counts.
    pub figures: Figures,
    /// What all processors of the host did.
    pub processors: Processors,
    /// What went over its own interfaces, by their names in there.
    pub networks: BTreeMap<String, Traffic>,
}

/// What a cgroup counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Time on processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Block devices.
    pub block_io: BlockIo,
    /// Processes.
    pub pids: Pids,
}

/// Time of the host's processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processors {
    /// Nanoseconds of all of them since the host came up, idle ones too.
    pub time: u64,
    /// How many there are.
    pub online: u32,
}

/// Time on processors, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In all.
    pub total: u64,
    /// By processor, where the kernel counts that.
    pub by_processor: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of it.
    pub user: u64,
    /// Periods in which a limit was watched over.
    pub periods: u64,
    /// Those in which it was reached.
    pub throttled_periods: u64,
    /// Time that was waited because of it.
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is used.
    pub usage: u64,
    /// The most that has been used, where the kernel keeps it.
    pub max_usage: u64,
    /// What may be used; the machine's memory if there is no limit.
    pub limit: u64,
    /// How often the limit was reached.
    pub failures: u64,
    /// What it is made of, by the kernel's names.
    pub parts: BTreeMap<&'static str, u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there may be.
    pub limit: u64,
}

/// What went to and from block devices. `None`: the kernel doesn't count that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Bytes.
    pub service_bytes: Option<Vec<BlockIoEntry>>,
    /// Requests.
    pub serviced: Option<Vec<BlockIoEntry>>,
    /// Requests that wait.
    pub queued: Option<Vec<BlockIoEntry>>,
    /// Nanoseconds of work.
    pub service_time: Option<Vec<BlockIoEntry>>,
    /// Nanoseconds of waiting.
    pub wait_time: Option<Vec<BlockIoEntry>>,
    /// Requests that were put together.
    pub merged: Option<Vec<BlockIoEntry>>,
    /// Milliseconds.
    pub time: Option<Vec<BlockIoEntry>>,
    /// Sectors.
    pub sectors: Option<Vec<BlockIoEntry>>,
}

/// One figure of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIoEntry {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// What was done, in the kernel's words: `Read`, `Write`.
    pub operation: String,
    /// The figure.
    pub value: u64,
}

/// What went over one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came.
    pub rx_bytes: u64,
    /// Packets that came.
    pub rx_packets: u64,
    /// Those that came broken.
    pub rx_errors: u64,
    /// Those that were dropped.
    pub rx_dropped: u64,
    /// Bytes that left.
    pub tx_bytes: u64,
    /// Packets that left.
    pub tx_packets: u64,
    /// Those that failed to.
    pub tx_errors: u64,
    /// Those that were dropped.
    pub tx_dropped: u64,
}

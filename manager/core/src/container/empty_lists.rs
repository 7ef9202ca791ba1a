//! Which lists of a container's settings were given, though there is nothing in them: docker shows
//! those as empty lists, and the ones that nobody gave as none.

use serde::{Deserialize, Serialize};

/// A list of docker's `HostConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostList {
    /// `Binds`
    Binds,
    /// `VolumesFrom`
    VolumesFrom,
    /// `CapAdd`
    CapAdd,
    /// `CapDrop`
    CapDrop,
    /// `Dns`
    Dns,
    /// `DnsOptions`
    DnsOptions,
    /// `DnsSearch`
    DnsSearch,
    /// `ExtraHosts`
    ExtraHosts,
    /// `GroupAdd`
    GroupAdd,
    /// `SecurityOpt`
    SecurityOpt,
    /// `BlkioWeightDevice`
    BlkioWeightDevice,
    /// `BlkioDeviceReadBps`
    BlkioDeviceReadBps,
    /// `BlkioDeviceWriteBps`
    BlkioDeviceWriteBps,
    /// `BlkioDeviceReadIOps`
    BlkioDeviceReadIops,
    /// `BlkioDeviceWriteIOps`
    BlkioDeviceWriteIops,
    /// `Devices`
    Devices,
    /// `DeviceCgroupRules`
    DeviceCgroupRules,
    /// `DeviceRequests`
    DeviceRequests,
    /// `Ulimits`
    Ulimits,
}

impl HostList {
    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of them, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyLists(u32);

impl EmptyLists {
    /// Remembers `list` if it was given and has nothing in it.
    pub fn note<T>(&mut self, list: HostList, given: Option<&Vec<T>>) {
        if given.is_some_and(Vec::is_empty) {
            self.0 |= list.bit();
        }
    }

    /// `list` as docker shows it, if this is what is in it.
    pub fn shown<T>(self, list: HostList, content: Vec<T>) -> Option<Vec<T>> {
        let was_given = self.0 & list.bit() != 0;
        (was_given || !content.is_empty()).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_told_from_what_was_not() {
        let mut lists = EmptyLists::default();
        lists.note(HostList::Dns, Some(&Vec::<u8>::new()));
        lists.note(HostList::Devices, Some(&vec![1]));
        lists.note::<u8>(HostList::Ulimits, None);
        assert_eq!(lists.shown(HostList::Dns, Vec::<u8>::new()), Some(Vec::new()));
        assert_eq!(lists.shown(HostList::Devices, Vec::<u8>::new()), None);
        assert_eq!(lists.shown(HostList::Ulimits, Vec::<u8>::new()), None);
        assert_eq!(lists.shown(HostList::Ulimits, vec![7]), Some(vec![7]));
    }
}

//! Which device nodes a container may use: the rules of `config.json` brought into one list that
//! means the same on v1 (two files) and on v2 (a program).
//!
//! The kernel's v1 controller keeps a default answer and a list of exceptions to it. Rules are
//! applied in order: one for all devices (`a`) sets the default and clears the exceptions, any
//! other adds an exception or takes one away. A container starts with "deny all".

use std::collections::BTreeMap;
use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::error::{Error, Result};

/// Character or block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// `b`
    Block,
    /// `c`
    Character,
}

/// The devices that an exception is about; no number means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Devices {
    pub(super) class: Class,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

/// A set of the accesses read, write and mknod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access(u8);

impl Access {
    pub(super) const MKNOD: Access = Access(1);
    pub(super) const READ: Access = Access(2);
    pub(super) const WRITE: Access = Access(4);
    pub(super) const ALL: Access = Access(7);

    /// Other letters mean nothing, as runc has it: some bundles write `rwa`.
    fn parse(text: &str) -> Access {
        text.chars().fold(Access(0), |set, letter| match letter {
            'r' => set.and(Access::READ),
            'w' => set.and(Access::WRITE),
            'm' => set.and(Access::MKNOD),
            _ => set,
        })
    }

    fn and(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    fn without(self, other: Access) -> Access {
        Access(self.0 & !other.0)
    }

    fn overlaps(self, other: Access) -> bool {
        self.0 & other.0 != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits as `struct bpf_cgroup_dev_ctx` has them: mknod 1, read 2, write 4.
    pub(super) fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (access, letter) in [(Access::READ, 'r'), (Access::WRITE, 'w'), (Access::MKNOD, 'm')] {
            if self.overlaps(access) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Block => 'b',
            Class::Character => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        write!(f, "{class} {}:{}", number(self.major), number(self.minor))
    }
}

/// A default answer and the exceptions to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeviceList {
    /// Whether a device without an exception is allowed.
    pub(super) allow_others: bool,
    /// What is answered differently.
    pub(super) exceptions: BTreeMap<Devices, Access>,
}

/// Lines for `devices.allow` or `devices.deny`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The file they go into.
    pub(super) file: &'static str,
    /// The lines.
    pub(super) lines: Vec<String>,
}

/// What every container may do besides its own rules: make any node, and use the nodes that the
/// runtime itself puts into `/dev`. `10:200` is `/dev/net/tun`, which containers have always had.
const ALWAYS: [(Class, Option<u32>, Option<u32>, Access); 11] = [
    (Class::Character, None, None, Access::MKNOD),
    (Class::Block, None, None, Access::MKNOD),
    (Class::Character, Some(1), Some(3), Access::ALL),
    (Class::Character, Some(1), Some(5), Access::ALL),
    (Class::Character, Some(1), Some(7), Access::ALL),
    (Class::Character, Some(1), Some(8), Access::ALL),
    (Class::Character, Some(1), Some(9), Access::ALL),
    (Class::Character, Some(5), Some(0), Access::ALL),
    (Class::Character, Some(5), Some(2), Access::ALL),
    (Class::Character, Some(136), None, Access::ALL),
    (Class::Character, Some(10), Some(200), Access::ALL),
];

impl DeviceList {
    /// The list that `rules` and the devices of every container give.
    ///
    /// # Errors
    /// A rule that is malformed, or that v1 would silently not obey.
    pub(super) fn of_container(rules: &[LinuxDeviceCgroup]) -> Result<DeviceList> {
        let mut list = DeviceList::default();
        for rule in rules {
            list.add_rule(rule)?;
        }
        for (class, major, minor, access) in ALWAYS {
            list.allow(Devices { class, major, minor }, access)?;
        }
        Ok(list)
    }

    /// Adds one rule of `config.json`.
    fn add_rule(&mut self, rule: &LinuxDeviceCgroup) -> Result<()> {
        let bad = |reason: &str| Error::invalid(format!("device rule \"{rule}\": {reason}"));
        let text = rule.access().as_deref().unwrap_or_default();
        let access = Access::parse(text);
        if access.is_empty() {
            return Err(bad("access must be made of r, w and m"));
        }
        let class = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => {
                *self = DeviceList { allow_others: rule.allow(), exceptions: BTreeMap::new() };
                return Ok(());
            }
            LinuxDeviceType::B => Class::Block,
            LinuxDeviceType::C => Class::Character,
            LinuxDeviceType::U | LinuxDeviceType::P => {
                return Err(bad("type must be a, b or c"));
            }
        };
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => {
                u32::try_from(number).map(Some).map_err(|_| bad("there is no such number"))
            }
        };
        let devices = Devices { class, major: number(rule.major())?, minor: number(rule.minor())? };
        if rule.allow() { self.allow(devices, access) } else { self.deny(devices, access) }
    }

    fn allow(&mut self, devices: Devices, access: Access) -> Result<()> {
        if self.allow_others {
            self.take_away(devices, access)
        } else {
            self.except(devices, access);
            Ok(())
        }
    }

    fn deny(&mut self, devices: Devices, access: Access) -> Result<()> {
        if self.allow_others {
            self.except(devices, access);
            Ok(())
        } else {
            self.take_away(devices, access)
        }
    }

    fn except(&mut self, devices: Devices, access: Access) {
        let entry = self.exceptions.entry(devices).or_insert(Access(0));
        *entry = entry.and(access);
    }

    /// Takes an exception away. One that is part of a wider exception stays in force on v1 without
    /// a word, so it is refused here.
    fn take_away(&mut self, devices: Devices, access: Access) -> Result<()> {
        for wider in [
            Devices { major: None, ..devices },
            Devices { minor: None, ..devices },
            Devices { major: None, minor: None, ..devices },
        ] {
            let held = self.exceptions.get(&wider).copied().unwrap_or(Access(0));
            if wider != devices && held.overlaps(access) {
                return Err(Error::invalid(format!(
                    "device rule \"{devices} {access}\": it contradicts the wider rule \
                     \"{wider} {held}\" before it"
                )));
            }
        }
        if let Some(held) = self.exceptions.get_mut(&devices) {
            *held = held.without(access);
            if held.is_empty() {
                self.exceptions.remove(&devices);
            }
        }
        Ok(())
    }

    /// Reads `devices.list`: what a v1 cgroup allows now. One that allows all does not tell its
    /// exceptions, so these are not known.
    pub(super) fn of_cgroup(text: &str) -> DeviceList {
        let mut list = DeviceList::default();
        for line in text.lines() {
            if line.starts_with('a') {
                return DeviceList { allow_others: true, exceptions: BTreeMap::new() };
            }
            if let Some((devices, access)) = parse_line(line) {
                list.except(devices, access);
            }
        }
        list
    }

    /// The steps that lead a v1 cgroup from `present` to this list. Between two lists of allowed
    /// devices, one that both allow is never denied in between.
    pub(super) fn steps_from(&self, present: &DeviceList) -> [Step; 2] {
        let (make, unmake) = if self.allow_others {
            ("devices.deny", "devices.allow")
        } else {
            ("devices.allow", "devices.deny")
        };
        let mut less = Vec::new();
        let nothing = BTreeMap::new();
        let known = if present.allow_others || self.allow_others {
            // Start over: the exceptions of a cgroup that allows all cannot be known.
            less.push("a *:* rwm".to_owned());
            &nothing
        } else {
            &present.exceptions
        };
        for (devices, held) in known {
            let wanted = self.exceptions.get(devices).copied().unwrap_or(Access(0));
            let surplus = held.without(wanted);
            if !surplus.is_empty() {
                less.push(format!("{devices} {surplus}"));
            }
        }
        let mut more = Vec::new();
        for (devices, wanted) in &self.exceptions {
            let held = known.get(devices).copied().unwrap_or(Access(0));
            let missing = wanted.without(held);
            if !missing.is_empty() {
                more.push(format!("{devices} {missing}"));
            }
        }
        [Step { file: unmake, lines: less }, Step { file: make, lines: more }]
    }
}

/// Parses `c 1:3 rwm` of `devices.list`.
fn parse_line(line: &str) -> Option<(Devices, Access)> {
    let mut words = line.split_whitespace();
    let class = match words.next()? {
        "b" => Class::Block,
        "c" => Class::Character,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let devices = Devices { class, major: number(major)?, minor: number(minor)? };
    Some((devices, Access::parse(words.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(json: &str) -> Result<DeviceList> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        DeviceList::of_container(&rules)
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        let of = |step: &Step| -> Vec<String> {
            step.lines.iter().map(|line| format!("{} {line}", step.file)).collect()
        };
        steps.iter().flat_map(of).collect()
    }

    #[test]
    fn a_container_without_rules_has_the_devices_of_every_container() {
        let list = list("[]").unwrap();
        assert!(!list.allow_others);
        assert_eq!(list.exceptions.len(), ALWAYS.len());
    }

    #[test]
    fn the_last_rule_for_all_devices_decides() {
        let privileged =
            list(r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"a","access":"rwm"}]"#)
                .unwrap();
        assert!(privileged.allow_others);
        assert!(privileged.exceptions.is_empty());
        let steps = privileged.steps_from(&DeviceList { allow_others: true, ..Default::default() });
        assert_eq!(lines(&steps), ["devices.allow a *:* rwm"]);
    }

    #[test]
    fn a_new_cgroup_is_closed_and_then_opened() {
        let list = list(
            r#"[{"allow":false,"access":"rwm"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"r"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"w"}]"#,
        )
        .unwrap();
        let present = DeviceList { allow_others: true, ..Default::default() };
        let lines = lines(&list.steps_from(&present));
        assert_eq!(lines[0], "devices.deny a *:* rwm");
        assert!(lines.contains(&"devices.allow b 8:0 rw".to_owned()));
        assert!(lines.contains(&"devices.allow c 136:* rwm".to_owned()));
        assert!(lines.contains(&"devices.allow c *:* m".to_owned()));
        assert_eq!(lines.len(), 1 + ALWAYS.len() + 1);
    }

    #[test]
    fn a_running_cgroup_changes_only_what_differs() {
        let present = DeviceList::of_cgroup("c 1:3 rwm\nb 8:0 rw\nc *:* m\n");
        let target = DeviceList::of_cgroup("c 1:3 rw\nb 8:1 r\nc *:* m\n");
        assert_eq!(
            lines(&target.steps_from(&present)),
            ["devices.deny b 8:0 rw", "devices.deny c 1:3 m", "devices.allow b 8:1 r"]
        );
        assert_eq!(lines(&target.steps_from(&target)), Vec::<String>::new());
    }

    #[test]
    fn rules_that_cannot_be_obeyed_are_refused() {
        for (rules, reason) in [
            (r#"[{"allow":true,"type":"c","major":1,"access":""}]"#, "access"),
            (r#"[{"allow":true,"type":"c","access":"x"}]"#, "access"),
            (r#"[{"allow":true,"type":"u","access":"r"}]"#, "type"),
            (r#"[{"allow":true,"type":"c","major":-2,"access":"r"}]"#, "number"),
            (r#"[{"allow":true,"type":"c","major":4294967296,"access":"r"}]"#, "number"),
            (
                r#"[{"allow":true,"type":"c","major":8,"access":"r"},
                    {"allow":false,"type":"c","major":8,"minor":1,"access":"r"}]"#,
                "wider rule",
            ),
        ] {
            let error = list(rules).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

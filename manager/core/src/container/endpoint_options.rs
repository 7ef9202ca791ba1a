//! Options of endpoints: docker's `DriverOpts`, of which most are for people alone.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::network::{Sysctl, all_wrong};

/// The interface's name inside.
const INTERFACE: &str = "com.docker.network.endpoint.ifname";
/// Settings of the kernel's for the interface, with commas between them.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// The name that the interface shall have inside.
pub(super) fn interface(options: &BTreeMap<String, String>) -> Option<String> {
    options.get(INTERFACE).filter(|name| !name.is_empty()).cloned()
}

/// What the kernel is told about the interface.
///
/// # Errors
/// `Invalid` for what is no setting of one interface.
pub(super) fn sysctls(options: &BTreeMap<String, String>) -> Result<Vec<Sysctl>> {
    let (read, wrong) = read(options);
    all_wrong("invalid endpoint settings", &wrong)?;
    Ok(read)
}

/// What is no setting of one interface, in docker's words.
pub(super) fn wrong_sysctls(options: &BTreeMap<String, String>) -> Vec<String> {
    read(options).1
}

fn read(options: &BTreeMap<String, String>) -> (Vec<Sysctl>, Vec<String>) {
    let mut sysctls = Vec::new();
    let mut wrong = Vec::new();
    let texts = options.get(SYSCTLS).into_iter().flat_map(|texts| texts.split(','));
    for text in texts.filter(|text| !text.is_empty()) {
        match one(text) {
            Some(sysctl) => sysctls.push(sysctl),
            None => wrong.push(format!(
                "unrecognised network interface sysctl '{text}'; represent 'net.X.Y.ethN.Z=V' as \
                 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )),
        }
    }
    (sysctls, wrong)
}

/// Reads `net.ipv4.conf.IFNAME.log_martians=1`.
fn one(text: &str) -> Option<Sysctl> {
    let (path, value) = text.split_once('=')?;
    let ["net", family, table, "IFNAME" | "ifname", key] =
        path.splitn(5, '.').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    // They become parts of a path.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let are_plain = [table, key].iter().all(|part| !part.is_empty() && part.bytes().all(plain));
    let is_known = ["ipv4", "ipv6", "mpls"].contains(&family);
    (is_known && are_plain).then(|| Sysctl {
        family: family.to_owned(),
        table: table.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(sysctls: &str) -> BTreeMap<String, String> {
        [(SYSCTLS.to_owned(), sysctls.to_owned()), ("k".to_owned(), "v".to_owned())].into()
    }

    #[test]
    fn settings_of_the_interface_are_read() {
        let text = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.ifname.retrans_time_ms=5";
        let read = sysctls(&options(text)).unwrap();
        assert_eq!((read[0].table.as_str(), read[0].key.as_str()), ("conf", "log_martians"));
        assert_eq!((read[1].family.as_str(), read[1].value.as_str()), ("ipv6", "5"));
    }

    #[test]
    fn what_is_another_setting_is_refused() {
        for wrong in [
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.eth0.log_martians=1",
            "net.core.conf.IFNAME.x=1",
            "net.ipv4.conf.IFNAME.a/../b=1",
            "net.ipv4.conf.IFNAME.x",
        ] {
            let error = sysctls(&options(wrong)).unwrap_err().to_string();
            assert!(error.contains(&format!("sysctl '{wrong}'")), "{error}");
        }
    }
}

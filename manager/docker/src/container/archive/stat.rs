//! What is at a path, as docker encodes it: JSON in base64, with Go's idea of a mode.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tare_core::container::PathStat;

use crate::error::Result;
use crate::time;

/// Docker's `PathStat`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    name: &'a str,
    size: i64,
    mode: u32,
    mtime: String,
    link_target: &'a str,
}

/// The header's value.
pub(super) fn encoded(stat: &PathStat) -> Result<String> {
    let view = View {
        name: &stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: time::rfc3339(stat.modified),
        link_target: &stat.link_target,
    };
    let json = serde_json::to_vec(&view)
        .map_err(|error| tare_core::Error::system(format!("encode a path's facts: {error}")))?;
    Ok(STANDARD.encode(json))
}

/// Go keeps the permissions where Unix has them, and has bits of its own for all else.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        // A device; one of characters has another bit besides.
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go);
    mode & 0o777 | kind | special.fold(0, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), 0x8010_01ff);
        assert_eq!(go_mode(0o120_777), 0x0800_01ff);
        assert_eq!(go_mode(0o104_755), 0x0080_01ed);
        assert_eq!(go_mode(0o020_666), 0x0420_01b6);
    }

    #[test]
    fn the_header_has_dockers_fields() {
        let stat = PathStat {
            name: "sh".to_owned(),
            size: 7,
            mode: 0o120_777,
            modified: jiff::Timestamp::new(1_700_000_000, 5).unwrap(),
            link_target: "/bin/busybox".to_owned(),
        };
        let json = STANDARD.decode(encoded(&stat).unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["linkTarget"], "/bin/busybox");
        assert_eq!(json["mtime"], "2023-11-14T22:13:20.000000005Z");
        assert_eq!(json["mode"], 0x0800_01ff);
    }
}

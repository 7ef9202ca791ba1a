//! Hostile limits, and files of the kernel's that read otherwise than expected.

use super::below::Below;
use super::demand::demands;
use super::devices::DeviceList;
use super::file;
use super::placement::Placement;
use super::stats::{Pressure, expand_list};
use crate::fuzz::{json, mutated, settings, words};
use oci_spec::runtime::LinuxResources;
use proptest::collection::vec;
use proptest::prelude::{prop_assert, proptest};
use serde_json::json as literal;

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn fuzz_resources(resources in json(literal!({
        "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" },
            { "allow": true, "type": "b", "major": 8, "access": "m" },
            { "allow": false, "type": "c", "major": 1, "minor": 3, "access": "w" },
        ],
        "memory": { "limit": 1_000_000, "reservation": -1, "swap": 2_000_000, "swappiness": 60 },
        "cpu": { "shares": 1024, "quota": 1000, "period": 10_000, "cpus": "0-1", "mems": "0" },
        "pids": { "limit": 7 },
        "blockIO": { "weight": 10, "weightDevice": [{ "major": 8, "minor": 0, "weight": 20 }],
            "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }] },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 9 }],
        "rdma": { "mlx": { "hcaHandles": 3, "hcaObjects": 10_000 } },
        "unified": { "memory.high": "7", "io.max": "x" },
    }))) {
        let Ok(resources) = serde_json::from_value::<LinuxResources>(resources) else {
            return Ok(());
        };
        let _ = demands(&resources);
        if let Ok(list) = DeviceList::of_container(resources.devices().as_deref().unwrap_or_default()) {
            let _ = list.steps_from(&DeviceList::of_cgroup("a *:* rwm\n"));
        }
    }

    #[test]
    fn fuzz_files(text in mutated(
        b"some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\n0-3,7\nmax\nanon 55\n8:0 Read 7\n",
    )) {
        let text = String::from_utf8_lossy(&text);
        let _ = Pressure::parse(&text);
        let _ = file::number(&text);
        let _ = file::pairs(&text).count();
        for line in text.lines() {
            prop_assert!(expand_list(line).len() <= 65_536 * (1 + line.matches(',').count()));
        }
    }

    #[test]
    fn fuzz_places(path in words(), inner in vec(words(), 0..3)) {
        use std::path::Component;
        let _ = Below::parse(&inner);
        if let Ok(Placement::FromTop(place) | Placement::FromCaller(place)) =
            Placement::new(Some(&path), "id")
        {
            let inside = place.components().all(|part| matches!(part, Component::Normal(_)));
            prop_assert!(inside && place.components().next().is_some(), "{}", place.display());
        }
    }
}

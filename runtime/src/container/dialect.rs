//! Where the specification's JSON is wider than the types that stand for it.
//!
//! A text that the types cannot hold is put in words that they can, or is refused in the words that
//! callers know. All others are never looked at here.

use crate::error::{Error, Result};
use crate::process::capabilities::forget_unknown;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

/// Rewrites a configuration, and returns what is to be said about it.
pub(super) fn rewrite_config(config: &mut Value) -> Result<Vec<String>> {
    let warnings = config.get_mut("process").map(rewrite_process).unwrap_or_default();
    let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) else {
        return Ok(warnings);
    };
    if let Some(policy) = linux.get("memoryPolicy") {
        check_memory_policy(policy)?;
    }
    if let Some(domain) = linux.get("personality").map(|personality| &personality["domain"])
        && !matches!(domain.as_str(), Some("LINUX" | "LINUX32"))
    {
        return Err(Error::invalid(format!("invalid personality domain {domain}")));
    }
    if let Some(resources) = linux.get_mut("resources").and_then(Value::as_object_mut) {
        rewrite_resources(resources);
    }
    Ok(warnings)
}

/// Rewrites the description of a process, and returns what is to be said about it.
pub(super) fn rewrite_process(process: &mut Value) -> Vec<String> {
    let warnings = match forget_unknown(process) {
        unknown if unknown.is_empty() => Vec::new(),
        unknown => {
            let names = unknown.join(" ");
            vec![format!("ignoring unknown or unavailable capabilities: [{names}]")]
        }
    };
    let Some(process) = process.as_object_mut() else { return warnings };
    // What is left out is zero, or is missed with a clearer message later.
    process.entry("cwd").or_insert_with(|| json!(""));
    let user = process.entry("user").or_insert_with(|| json!({}));
    if let Some(user) = user.as_object_mut() {
        user.entry("uid").or_insert_with(|| json!(0));
        user.entry("gid").or_insert_with(|| json!(0));
    }
    let flags = process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = json!("SCHED_RESET_ON_FORK"),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = json!("SCHED_FLAG_D_L_OVERRUN"),
            _ => {}
        }
    }
    if let Some(affinity) = process.get_mut("execCPUAffinity").and_then(Value::as_object_mut) {
        for list in affinity.values_mut() {
            if let Some(text) = list.as_str() {
                *list = tidy_list(text).into();
            }
        }
        affinity.retain(|_, list| list != "");
    }
    warnings
}

/// A list of CPUs without the spaces and the additional commas that it may have.
fn tidy_list(list: &str) -> String {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(",")
}

fn rewrite_resources(resources: &mut Map<String, Value>) {
    // No limit is none.
    if resources.get("pids").is_some_and(|pids| pids["limit"].is_null()) {
        resources.remove("pids");
    }
    for rule in array_of(resources, "devices") {
        if rule["type"] == ""
            && let Some(rule) = rule.as_object_mut()
        {
            rule.remove("type");
        }
    }
    for limit in array_of(resources, "hugepageLimits") {
        // More than there can be, so as good as the most that is held.
        if limit["limit"].as_u64().is_some_and(|bytes| i64::try_from(bytes).is_err()) {
            limit["limit"] = json!(i64::MAX);
        }
    }
}

/// Corrects what the types of the resources read as a value though it is none: a limit of tasks that
/// is left out is not zero. That is looked up again in `text`, where the resources stand at `place`.
pub(crate) fn settle_resources(resources: &mut LinuxResources, text: &[u8], place: &str) {
    if resources.pids().is_none_or(|pids| pids.limit() != 0) {
        return;
    }
    let value = serde_json::from_slice::<Value>(text).unwrap_or_default();
    let written = value.pointer(place).map(|resources| &resources["pids"]["limit"]);
    if written.is_some_and(Value::is_null) {
        resources.set_pids(None);
    }
}

fn array_of<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn check_memory_policy(policy: &Value) -> Result<()> {
    const MODES: [&str; 7] = [
        "MPOL_DEFAULT",
        "MPOL_PREFERRED",
        "MPOL_BIND",
        "MPOL_INTERLEAVE",
        "MPOL_LOCAL",
        "MPOL_PREFERRED_MANY",
        "MPOL_WEIGHTED_INTERLEAVE",
    ];
    const FLAGS: [&str; 3] =
        ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
    let mode = policy["mode"].as_str().unwrap_or_default();
    if !MODES.contains(&mode) {
        return Err(Error::invalid(format!("invalid memory policy mode {mode:?}")));
    }
    for flag in policy["flags"].as_array().into_iter().flatten() {
        if !flag.as_str().is_some_and(|flag| FLAGS.contains(&flag)) {
            return Err(Error::invalid(format!("invalid memory policy flag {flag}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::bundle::{parse, parse_process};
    use serde_json::{Value, json};

    fn config(linux: Value, process: Value) -> Vec<u8> {
        json!({"ociVersion": "1.3.0", "linux": linux, "process": process}).to_string().into_bytes()
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let process = parse_process(br#"{"args": ["true"], "cwd": "/", "user": {"gid": 7}}"#);
        let user = process.unwrap().0.user().clone();
        assert_eq!((user.uid(), user.gid()), (0, 7));
        parse_process(br#"{"args": ["true"], "cwd": "/"}"#).unwrap();
        let error = parse_process(br#"{"args": ["true"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "Cwd property must not be empty");
    }

    #[test]
    fn limits_may_be_absent_and_endless() {
        let resources = json!({
            "pids": {"limit": null},
            "devices": [{"allow": false, "type": "", "access": "rwm"}],
            "hugepageLimits": [
                {"pageSize": "2MB", "limit": u64::MAX},
                {"pagesize": "1GB", "limit": 1},
            ],
        });
        let (spec, _) = parse(&config(json!({"resources": resources}), json!(null))).unwrap();
        let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
        assert!(resources.pids().is_none());
        assert!(resources.devices().as_ref().unwrap()[0].typ().is_none());
        let limits = resources.hugepage_limits().clone().unwrap();
        assert_eq!(limits[0].limit(), i64::MAX);
        assert_eq!(limits[1].page_size(), "1GB");
        // Zero is a limit, and these types would have it for none that is there.
        for (pids, limit) in [(json!({}), None), (json!({"limit": 0}), Some(0))] {
            let resources = json!({"resources": {"pids": pids}});
            let (spec, _) = parse(&config(resources, json!(null))).unwrap();
            let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
            assert_eq!(resources.pids().as_ref().map(|pids| pids.limit()), limit);
        }
    }

    #[test]
    fn flags_of_the_scheduler_and_lists_of_cpus_are_as_specified() {
        let process = json!({
            "args": ["true"], "cwd": "/",
            "scheduler": {
                "policy": "SCHED_OTHER",
                "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_PARAMS"],
            },
            "execCPUAffinity": {"initial": "", "final": " 0-1, 3,"},
        });
        let (process, _) = parse_process(process.to_string().as_bytes()).unwrap();
        assert_eq!(process.scheduler().as_ref().unwrap().flags().as_ref().unwrap().len(), 3);
        let affinity = process.exec_cpu_affinity().clone().unwrap();
        assert_eq!(affinity.initial(), &None);
        assert_eq!(affinity.cpu_affinity_final().as_deref(), Some("0-1,3"));
    }

    #[test]
    fn what_is_refused_is_refused_in_known_words() {
        for (linux, words) in [
            (json!({"memoryPolicy": {}}), "invalid memory policy mode \"\""),
            (json!({"memoryPolicy": {"mode": "BIND"}}), "invalid memory policy mode \"BIND\""),
            (
                json!({"memoryPolicy": {"mode": "MPOL_LOCAL", "flags": ["bad"]}}),
                "invalid memory policy flag \"bad\"",
            ),
            (json!({"personality": {"domain": "X"}}), "invalid personality domain \"X\""),
            (json!({"namespaces": [{"type": "odd"}]}), "config.json: unknown variant `odd`"),
        ] {
            let error = parse(&config(linux, json!(null))).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}

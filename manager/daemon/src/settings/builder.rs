//! What the configuration file says of builds, under docker's key `builder`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tare_build::cache::Policy;
use tare_build::filter;
use tare_build::settings::{Collection, Kept, Permitted, Space};

use super::size;
use crate::error::Error;

/// The key.
const KEY: &str = "builder";

/// All of it, by names without capitals: docker doesn't tell them apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Builder {
    gc: Collecting,
    entitlements: Entitlements,
    history: History,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Collecting {
    enabled: Option<bool>,
    policy: Option<Vec<Rule>>,
    #[serde(alias = "defaultkeepstorage")]
    defaultreservedspace: String,
    defaultmaxusedspace: String,
    defaultminfreespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    all: bool,
    filter: Vec<String>,
    #[serde(alias = "keepstorage")]
    reservedspace: String,
    maxusedspace: String,
    minfreespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Entitlements {
    network_host: Option<bool>,
    security_insecure: Option<bool>,
    device: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct History {
    maxage: Option<Value>,
    maxentries: Option<usize>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Said(Value);

/// What builds are told of it.
///
/// # Errors
/// [`Error::Setting`] says what is wrong.
pub(super) fn settings(said: Option<Said>) -> Result<tare_build::Settings, Error> {
    let Some(Said(said)) = said else { return Ok(tare_build::Settings::default()) };
    let wrong = |reason: String| Error::setting(KEY, reason);
    let said: Builder =
        serde_json::from_value(in_lower_case(said)).map_err(|error| wrong(error.to_string()))?;
    if said.entitlements.device == Some(true) {
        return Err(wrong("entitlements: builds get no devices".to_owned()));
    }
    let usual = tare_build::Settings::default();
    Ok(tare_build::Settings {
        permitted: Permitted {
            network_host: said.entitlements.network_host.unwrap_or(usual.permitted.network_host),
            security_insecure: said.entitlements.security_insecure.unwrap_or_default(),
        },
        collection: collection(said.gc).map_err(wrong)?,
        history: history(&said.history, usual.history).map_err(wrong)?,
        ..usual
    })
}

fn collection(said: Collecting) -> Result<Collection, String> {
    if said.enabled == Some(false) {
        return Ok(Collection::Never);
    }
    match said.policy {
        None => Ok(Collection::Default(Space {
            reserved: bytes("defaultReservedSpace", &said.defaultreservedspace)?,
            most: bytes("defaultMaxUsedSpace", &said.defaultmaxusedspace)?,
            free: bytes("defaultMinFreeSpace", &said.defaultminfreespace)?,
        })),
        Some(rules) => {
            Ok(Collection::Rules(rules.into_iter().map(rule).collect::<Result<_, _>>()?))
        }
    }
}

fn rule(said: Rule) -> Result<Policy, String> {
    let mut unused_for = Duration::ZERO;
    let mut fields = Vec::new();
    for text in &said.filter {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("unused-for" | "until", value) => {
                unused_for = duration(value).ok_or_else(|| format!("{value} is no duration"))?;
            }
            (name, "") => fields.push(name.to_owned()),
            ("id", value) => fields.push(format!("id~={value}")),
            (name, value) => fields.push(format!("{name}=={value}")),
        }
    }
    let filters = if fields.is_empty() { Vec::new() } else { vec![fields.join(",")] };
    filter::of_usage(&filters).map(drop).map_err(|error| error.to_string())?;
    Ok(Policy {
        filters,
        all: said.all,
        unused_for,
        reserved: bytes("reservedSpace", &said.reservedspace)?,
        most: bytes("maxUsedSpace", &said.maxusedspace)?,
        free: bytes("minFreeSpace", &said.minfreespace)?,
    })
}

fn history(said: &History, usual: Kept) -> Result<Kept, String> {
    let age = match &said.maxage {
        None | Some(Value::Null) => usual.age,
        Some(Value::Number(seconds)) => {
            let seconds = seconds.as_u64().ok_or_else(|| format!("{seconds} is no duration"))?;
            Duration::from_secs(seconds)
        }
        Some(Value::String(text)) => {
            duration(text).ok_or_else(|| format!("{text} is no duration"))?
        }
        Some(other) => return Err(format!("{other} is no duration")),
    };
    Ok(Kept { newest: said.maxentries.unwrap_or(usual.newest), age })
}

fn duration(text: &str) -> Option<Duration> {
    filter::duration(text).and_then(|duration| Duration::try_from(duration).ok())
}

fn bytes(name: &str, text: &str) -> Result<u64, String> {
    match text {
        "" => Ok(0),
        text => size::bytes(text).map_err(|error| format!("failed to parse {name}: {error}")),
    }
}

/// The same with all names in lower case.
fn in_lower_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let lower =
                |(name, value): (String, _)| (name.to_ascii_lowercase(), in_lower_case(value));
            Value::Object(fields.map(lower).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(in_lower_case).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(said: Value) -> Result<tare_build::Settings, String> {
        settings(Some(Said(said))).map_err(|error| error.to_string())
    }

    #[test]
    fn what_docker_documents_is_read() {
        let said = read(json!({
            "gc": {
                "enabled": true,
                "policy": [
                    {"keepStorage": "10GB", "filter": ["unused-for=2200h"]},
                    {"maxUsedSpace": "50GB", "filter": ["type=exec.cachemount"], "all": true}
                ]
            },
            "Entitlements": {"network-host": false, "security-insecure": true},
            "history": {"maxAge": "2h", "maxEntries": 3}
        }))
        .unwrap();
        let Collection::Rules(rules) = said.collection else { panic!("no rules") };
        assert_eq!(rules[0].reserved, 10 << 30);
        assert_eq!(rules[0].unused_for, Duration::from_secs(2200 * 3600));
        assert_eq!(rules[1].filters, ["type==exec.cachemount"]);
        assert!(rules[1].all);
        assert!(!said.permitted.network_host && said.permitted.security_insecure);
        assert_eq!(said.history, Kept { newest: 3, age: Duration::from_secs(7200) });
        let never = read(json!({"gc": {"enabled": false}})).unwrap();
        assert_eq!(never.collection, Collection::Never);
        let space = read(json!({"gc": {"defaultKeepStorage": "1GB"}})).unwrap();
        let expected = Space { reserved: 1 << 30, ..Space::default() };
        assert_eq!(space.collection, Collection::Default(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (said, expected) in [
            (json!({"gcc": {}}), "gcc"),
            (json!({"gc": {"defaultKeepStorage": "much"}}), "defaultReservedSpace"),
            (json!({"gc": {"policy": [{"filter": ["unused-for=soon"]}]}}), "soon"),
            (json!({"entitlements": {"device": true}}), "device"),
            (json!({"history": {"maxAge": true}}), "true"),
        ] {
            let error = read(said).unwrap_err();
            assert!(error.starts_with("invalid value for builder: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }
}

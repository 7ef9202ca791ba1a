//! What a build is asked to give, and what else is asked of it: read and refused before it begins.

use std::collections::{BTreeMap, HashSet};

use tare_proto::builds::moby::buildkit::v1 as api;

use crate::error::{Error, Result};
use crate::settings::Permitted;

/// Kinds of caches that can be written.
const CACHES: [&str; 3] = ["inline", "registry", "local"];
/// What may be allowed beside the usual.
const NETWORK_HOST: &str = "network.host";
const SECURITY_INSECURE: &str = "security.insecure";

/// Rewrites what old clients say in the words of new ones.
pub(super) fn in_new_words(request: &mut api::SolveRequest) {
    let cache = request.cache.get_or_insert_default();
    let registry = |reference: String, attributes: &BTreeMap<String, String>| {
        let mut attrs = attributes.clone();
        attrs.insert("ref".to_owned(), reference);
        api::CacheOptionsEntry { r#type: "registry".to_owned(), attrs }
    };
    let exported = std::mem::take(&mut cache.export_ref_deprecated);
    if !exported.is_empty() {
        let entry = registry(exported, &cache.export_attrs_deprecated);
        cache.exports.push(entry);
    }
    for imported in std::mem::take(&mut cache.import_refs_deprecated) {
        cache.imports.push(registry(imported, &BTreeMap::new()));
    }
    let kind = std::mem::take(&mut request.exporter_deprecated);
    let attrs = std::mem::take(&mut request.exporter_attrs_deprecated);
    if request.exporters.is_empty() && !kind.is_empty() {
        request.exporters.push(api::Exporter { r#type: kind, attrs });
    }
    // What the build sees of the time, what is exported of it says, too.
    if let Some(epoch) = request.frontend_attrs.get("build-arg:SOURCE_DATE_EPOCH") {
        for exporter in &mut request.exporters {
            let attrs = &mut exporter.attrs;
            attrs.entry("source-date-epoch".to_owned()).or_insert_with(|| epoch.clone());
        }
    }
}

/// Refuses what isn't done here, by its name.
pub(super) fn check(request: &api::SolveRequest, permitted: Permitted) -> Result<()> {
    if request.r#ref.is_empty() {
        return Err(Error::invalid("the build has no ref"));
    }
    if request.source_policy.as_ref().is_some_and(|policy| !policy.rules.is_empty()) {
        return Err(Error::unsupported("a source policy"));
    }
    if request.enable_session_exporter {
        return Err(Error::unsupported("an exporter of the session's choice"));
    }
    for entitlement in &request.entitlements {
        let is_permitted = match entitlement.as_str() {
            NETWORK_HOST => permitted.network_host,
            SECURITY_INSECURE => permitted.security_insecure,
            _ => false,
        };
        if !is_permitted {
            return Err(Error::invalid(format!(
                "granting entitlement {entitlement} is not allowed by build daemon configuration"
            )));
        }
    }
    check_caches(request.cache.as_ref().map_or(&[], |cache| &cache.exports))
}

fn check_caches(exports: &[api::CacheOptionsEntry]) -> Result<()> {
    let mut seen = HashSet::new();
    for export in exports {
        let place = match export.attrs.get("ref") {
            Some(reference) if export.r#type == "registry" => reference.clone(),
            _ => format!("{}:{:?}", export.r#type, export.attrs),
        };
        if !seen.insert(place) {
            return Err(Error::invalid(format!("duplicate cache exports [{}]", export.r#type)));
        }
    }
    match exports.iter().find(|export| !CACHES.contains(&export.r#type.as_str())) {
        Some(other) => Err(Error::invalid(format!("unknown cache exporter: {:?}", other.r#type))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Permitted = Permitted { network_host: true, security_insecure: false };

    fn request() -> api::SolveRequest {
        api::SolveRequest { r#ref: "x".into(), ..Default::default() }
    }

    fn cache(kind: &str, attrs: &[(&str, &str)]) -> api::CacheOptionsEntry {
        let attrs = attrs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        api::CacheOptionsEntry { r#type: kind.into(), attrs: attrs.collect() }
    }

    #[test]
    fn old_words_are_understood() {
        let mut request = request();
        request.exporter_deprecated = "image".into();
        request.frontend_attrs.insert("build-arg:SOURCE_DATE_EPOCH".into(), "7".into());
        request.cache = Some(api::CacheOptions {
            export_ref_deprecated: "a/b".into(),
            import_refs_deprecated: vec!["c".into()],
            ..Default::default()
        });
        in_new_words(&mut request);
        assert_eq!(request.exporters[0].r#type, "image");
        assert_eq!(request.exporters[0].attrs["source-date-epoch"], "7");
        let caches = request.cache.as_ref().unwrap();
        assert_eq!(caches.exports, [cache("registry", &[("ref", "a/b")])]);
        assert_eq!(caches.imports, [cache("registry", &[("ref", "c")])]);
        assert!(check(&request, USUAL).is_ok());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let refused = |change: fn(&mut api::SolveRequest)| {
            let mut request = request();
            change(&mut request);
            check(&request, USUAL).unwrap_err().message
        };
        let insecure = refused(|request| request.entitlements.push(SECURITY_INSECURE.into()));
        assert!(insecure.starts_with("granting entitlement security.insecure is not allowed by"));
        let twice = refused(|request| {
            let entry = cache("registry", &[("ref", "x")]);
            request.cache = Some(api::CacheOptions {
                exports: vec![entry.clone(), entry],
                ..Default::default()
            });
        });
        assert_eq!(twice, "duplicate cache exports [registry]");
        let unknown = refused(|request| {
            let exports = vec![cache("gha", &[])];
            request.cache = Some(api::CacheOptions { exports, ..Default::default() });
        });
        assert_eq!(unknown, "unknown cache exporter: \"gha\"");
    }
}

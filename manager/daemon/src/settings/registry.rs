//! How registries are reached: mirrors, who need not prove who they are, proxies, numbers.

use std::env;

use serde::{Deserialize, Serialize};
use tare_core::registry::{Mirror, Proxies, RegistrySettings};

use super::Values;
use crate::error::Error;

/// The registry that images without one in their name are in.
const HUB: &str = "docker.io";

/// Proxies as the file has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct FileProxies {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
}

/// The settings of registries.
///
/// # Errors
/// [`Error::Setting`] names the first setting whose value cannot be.
pub(super) fn settings(values: &mut Values) -> Result<RegistrySettings, Error> {
    let mut settings = RegistrySettings::default();
    for text in values.registry_mirrors.take().unwrap_or_default() {
        let mirror: Mirror =
            text.parse().map_err(|error: String| Error::setting("registry-mirrors", error))?;
        settings.mirrors.add(HUB, mirror);
    }
    for mirrored in values.mirrors.take().unwrap_or_default() {
        for text in mirrored.mirrors {
            let mirror: Mirror =
                text.parse().map_err(|error: String| Error::setting("mirrors", error))?;
            settings.mirrors.add(&mirrored.registry, mirror);
        }
    }
    for text in values.insecure_registries.take().unwrap_or_default() {
        let added = settings.insecure.add(&text);
        added.map_err(|error| Error::setting("insecure-registries", error))?;
    }
    settings.proxies = proxies(values)?;
    let positive = |setting, value: Option<u32>, default: usize| match value {
        None => Ok(default),
        Some(0) => Err(Error::setting(setting, "it must be at least 1")),
        Some(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
    };
    settings.downloads =
        positive("max-concurrent-downloads", values.max_concurrent_downloads, settings.downloads)?;
    settings.uploads =
        positive("max-concurrent-uploads", values.max_concurrent_uploads, settings.uploads)?;
    match values.max_download_attempts {
        None => {}
        Some(0) => return Err(Error::setting("max-download-attempts", "it must be at least 1")),
        Some(attempts) => settings.patience.attempts = attempts,
    }
    Ok(settings)
}

/// A flag counts before the file, and the file before the environment.
fn proxies(values: &mut Values) -> Result<Proxies, Error> {
    let file = values.proxies.take().unwrap_or_default();
    let chosen = |flag: &mut Option<String>, in_file: Option<String>, names: [&str; 2]| {
        let of_environment = || names.into_iter().find_map(|name| env::var(name).ok());
        let chosen = flag.take().or(in_file).or_else(of_environment);
        chosen.filter(|text| !text.is_empty())
    };
    let http = chosen(&mut values.http_proxy, file.http_proxy, ["HTTP_PROXY", "http_proxy"]);
    let https = chosen(&mut values.https_proxy, file.https_proxy, ["HTTPS_PROXY", "https_proxy"]);
    let without = chosen(&mut values.no_proxy, file.no_proxy, ["NO_PROXY", "no_proxy"]);
    let proxies = Proxies { http, https, without };
    proxies.check().map_err(|error| Error::setting("proxies", error.to_string()))?;
    Ok(proxies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(mut values: Values) -> String {
        settings(&mut values).unwrap_err().to_string()
    }

    #[test]
    fn mirrors_of_any_registry() {
        let mut values = Values {
            registry_mirrors: Some(vec!["https://hub.mirror.test".to_owned()]),
            mirrors: Some(vec!["ghcr.io=one.test,http://two.test:5000".parse().unwrap()]),
            ..Values::default()
        };
        let settings = settings(&mut values).unwrap();
        assert_eq!(settings.mirrors.of_the_hub(), ["https://hub.mirror.test/"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = Some(vec!["ftp://x".to_owned()]);
        let values = Values { registry_mirrors: wrong.clone(), ..Values::default() };
        assert!(refused(values).contains("registry-mirrors"));
        let values = Values { insecure_registries: wrong, ..Values::default() };
        assert!(refused(values).contains("insecure-registries"));
        let values = Values { max_concurrent_downloads: Some(0), ..Values::default() };
        assert!(refused(values).contains("max-concurrent-downloads"));
        let values = Values { http_proxy: Some("://".to_owned()), ..Values::default() };
        assert!(refused(values).contains("proxies"));
    }
}

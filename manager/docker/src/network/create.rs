//! `POST /networks/create`

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tare_core::network::{ByFamily, Ipam, NewNetwork, Pool};

use crate::api::Api;
use crate::body;
use crate::error::{Error, Result};
use crate::version::ApiVersion;

/// Since when clients can do without IPv4.
const WITHOUT_IPV4_SINCE: ApiVersion = ApiVersion::new(1, 47);

/// The network that a client wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Body {
    name: Option<String>,
    driver: Option<String>,
    scope: Option<String>,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<IpamBody>,
    internal: Option<bool>,
    attachable: Option<bool>,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct IpamBody {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<PoolBody>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PoolBody {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", alias = "AuxAddress")]
    auxiliary: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConfigFrom {
    network: Option<String>,
}

/// The network that was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    id: String,
    warning: &'static str,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    body::Json(mut body): body::Json<Body>,
) -> Result<(StatusCode, Json<Created>)> {
    if version < WITHOUT_IPV4_SINCE {
        body.enable_ipv4 = None;
    }
    let id = api.engine.networks.create(body.into_domain()?).await?;
    Ok((StatusCode::CREATED, Json(Created { id, warning: "" })))
}

impl Body {
    /// What it asks of the domain, if all of it is here.
    fn into_domain(self) -> Result<NewNetwork> {
        for (wish, name) in [(self.ingress, "an ingress network (Ingress)")] {
            if wish == Some(true) {
                return Err(Error::unsupported(name));
            }
        }
        match self.scope.as_deref() {
            None | Some("" | "local") => {}
            Some("swarm") => {
                return Err(Error::new(
                    StatusCode::FORBIDDEN,
                    "cannot create a swarm scoped network when swarm is not active",
                ));
            }
            Some(scope) => {
                return Err(Error::unsupported(format_args!("the network scope {scope}")));
            }
        }
        Ok(NewNetwork {
            name: self.name.unwrap_or_default(),
            driver: self.driver.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            families: ByFamily { ipv4: self.enable_ipv4, ipv6: self.enable_ipv6 },
            ipam: self.ipam.unwrap_or_default().into_domain()?,
            internal: self.internal.unwrap_or_default(),
            attachable: self.attachable.unwrap_or_default(),
            config_only: self.config_only.unwrap_or_default(),
            config_from: self
                .config_from
                .and_then(|from| from.network)
                .filter(|name| !name.is_empty()),
        })
    }
}

impl IpamBody {
    fn into_domain(self) -> Result<Ipam> {
        match self.driver.as_deref() {
            None | Some("" | "default") => {}
            Some("null") => return Err(Error::unsupported("the IPAM driver null")),
            Some(driver) => {
                let missing = format!("plugin \"{driver}\" not found");
                return Err(Error::new(StatusCode::NOT_FOUND, missing));
            }
        }
        let pools = self.config.unwrap_or_default().into_iter();
        let pools = pools.filter_map(|pool| pool.into_domain().transpose());
        Ok(Ipam { options: self.options, pools: pools.collect::<Result<_>>()? })
    }
}

impl PoolBody {
    /// What it says; none: nothing.
    fn into_domain(self) -> Result<Option<Pool>> {
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let range = named(self.ip_range).map(|text| net("ip-range", &text)).transpose()?;
        let gateway = named(self.gateway).map(|text| address("gateway", &text)).transpose()?;
        let auxiliary = self.auxiliary.unwrap_or_default();
        let Some(subnet) = named(self.subnet) else {
            return match range.is_none() && gateway.is_none() && auxiliary.is_empty() {
                true => Ok(None),
                false => Err(Error::invalid(
                    "invalid network config:\ninvalid subnet : it is needed where other addresses \
                     are given",
                )),
            };
        };
        let auxiliary = auxiliary
            .into_iter()
            .map(|(name, text)| Ok((name, address("auxiliary address", &text)?)))
            .collect::<Result<_>>()?;
        Ok(Some(Pool { range, gateway, auxiliary, ..Pool::of(net("subnet", &subnet)?) }))
    }
}

fn net(what: &str, text: &str) -> Result<IpNet> {
    IpNet::from_str(text).map_err(|_| {
        Error::invalid(format!(
            "invalid network config:\ninvalid {what} {text}: invalid CIDR block notation"
        ))
    })
}

fn address(what: &str, text: &str) -> Result<IpAddr> {
    IpAddr::from_str(text).map_err(|_| {
        Error::invalid(format!("invalid network config:\ninvalid {what} {text}: invalid address"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<NewNetwork> {
        crate::body::parse::<Body>(json.as_bytes())?.into_domain()
    }

    /// What `docker network create` sends.
    #[test]
    fn what_the_command_line_sends_is_read() {
        let network = read(
            r#"{"Name":"n","Driver":"bridge","Scope":"","IPAM":{"Driver":"default","Options":{},
                "Config":[{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.128/25","Gateway":"10.1.0.1",
                "AuxiliaryAddresses":{"router":"10.1.0.254"}}]},"Internal":true,"Attachable":false,
                "Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{"a":"b"},
                "Labels":{"c":"d"},"CheckDuplicate":true}"#,
        )
        .unwrap();
        assert!(network.internal && network.options["a"] == "b" && network.labels["c"] == "d");
        let pool = &network.ipam.pools[0];
        assert_eq!(pool.subnet.to_string(), "10.1.0.0/24");
        assert_eq!(pool.range.unwrap().to_string(), "10.1.0.128/25");
        assert_eq!(pool.auxiliary["router"], IpAddr::from([10, 1, 0, 254]));
        let plain = r#"{"Name":"n","Driver":"","IPAM":{"Config":[{}]},"EnableIPv6":true}"#;
        let plain = read(plain).unwrap();
        assert!(plain.ipam.pools.is_empty());
        assert_eq!(plain.families, ByFamily { ipv4: None, ipv6: Some(true) });
    }

    #[test]
    fn what_is_not_here_is_named() {
        let error = |json| read(json).unwrap_err().to_string();
        assert!(error(r#"{"Name":"n","Scope":"swarm"}"#).contains("swarm scoped network"));
        assert!(error(r#"{"Name":"n","IPAM":{"Driver":"null"}}"#).contains("IPAM driver null"));
        assert!(error(r#"{"IPAM":{"Config":[{"Subnet":"fd00::/640"}]}}"#).contains("fd00::/640"));
        assert!(error(r#"{"IPAM":{"Config":[{"Subnet":"10.1/8"}]}}"#).contains("10.1/8"));
        assert!(
            error(r#"{"IPAM":{"Config":[{"Gateway":"10.1.0.1"}]}}"#).contains("invalid subnet")
        );
    }
}

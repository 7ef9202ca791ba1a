//! `POST /networks/create`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ipnet::{IpNet, Ipv4Net};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tare_core::network::{Ipam, NewNetwork, Pool};

use crate::api::Api;
use crate::body;
use crate::error::{Error, Result};

/// The network that a client wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
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
    /// A name is never given twice, whatever this says.
    #[serde(rename = "CheckDuplicate")]
    _check_duplicate: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct IpamBody {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<PoolBody>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct PoolBody {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", alias = "AuxAddress")]
    auxiliary: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
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
    body::Json(body): body::Json<Body>,
) -> Result<(StatusCode, Json<Created>)> {
    let id = api.engine.networks.create(body.into_domain()?).await?;
    Ok((StatusCode::CREATED, Json(Created { id, warning: "" })))
}

impl Body {
    /// What it asks of the domain, if all of it is here.
    fn into_domain(self) -> Result<NewNetwork> {
        for (wish, name) in [
            (self.ingress, "an ingress network (Ingress)"),
            (self.config_only, "a network that is only a configuration (ConfigOnly)"),
            (self.enable_ipv6, "IPv6 on a network (EnableIPv6)"),
            (self.enable_ipv4.map(|wish| !wish), "a network without IPv4 (EnableIPv4)"),
        ] {
            if wish == Some(true) {
                return Err(Error::unsupported(name));
            }
        }
        if self.config_from.and_then(|from| from.network).is_some_and(|name| !name.is_empty()) {
            return Err(Error::unsupported("a network's configuration from another (ConfigFrom)"));
        }
        match self.scope.as_deref() {
            None | Some("" | "local") => {}
            Some(scope) => {
                return Err(Error::unsupported(format_args!("the network scope {scope}")));
            }
        }
        Ok(NewNetwork {
            name: self.name.unwrap_or_default(),
            driver: self.driver.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            ipam: self.ipam.unwrap_or_default().into_domain()?,
            internal: self.internal.unwrap_or_default(),
            attachable: self.attachable.unwrap_or_default(),
        })
    }
}

impl IpamBody {
    fn into_domain(self) -> Result<Ipam> {
        match self.driver.as_deref() {
            None | Some("" | "default") => {}
            Some(driver) => {
                return Err(Error::unsupported(format_args!("the IPAM driver {driver}")));
            }
        }
        let mut pools = self.config.unwrap_or_default();
        if pools.len() > 1 {
            return Err(Error::new(
                StatusCode::FORBIDDEN,
                "bridge driver doesn't support multiple subnets",
            ));
        }
        let pool = pools.pop().map(PoolBody::into_domain).transpose()?;
        Ok(Ipam { options: self.options, pool: pool.filter(|pool| *pool != Pool::default()) })
    }
}

impl PoolBody {
    fn into_domain(self) -> Result<Pool> {
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let auxiliary = self.auxiliary.unwrap_or_default();
        let pool = Pool {
            subnet: named(self.subnet).map(|text| net("subnet", &text)).transpose()?,
            range: named(self.ip_range).map(|text| net("ip-range", &text)).transpose()?,
            gateway: named(self.gateway).map(|text| address("gateway", &text)).transpose()?,
            auxiliary: auxiliary
                .into_iter()
                .map(|(name, text)| Ok((name, address("auxiliary address", &text)?)))
                .collect::<Result<_>>()?,
        };
        match pool.subnet.is_none() && pool != Pool::default() {
            true => Err(Error::invalid(
                "invalid network config:\ninvalid subnet : it is needed \
                                        where other addresses are given",
            )),
            false => Ok(pool),
        }
    }
}

fn net(what: &str, text: &str) -> Result<Ipv4Net> {
    match IpNet::from_str(text) {
        Ok(IpNet::V4(net)) => Ok(net),
        Ok(IpNet::V6(net)) => Err(Error::unsupported(format_args!("the IPv6 {what} {net}"))),
        Err(_) => {
            Err(Error::invalid(format!("invalid {what} {text}: invalid CIDR block notation")))
        }
    }
}

fn address(what: &str, text: &str) -> Result<Ipv4Addr> {
    match IpAddr::from_str(text) {
        Ok(IpAddr::V4(address)) => Ok(address),
        Ok(IpAddr::V6(address)) => {
            Err(Error::unsupported(format_args!("the IPv6 {what} {address}")))
        }
        Err(_) => Err(Error::invalid(format!(
            "invalid network config:\ninvalid {what} {text}: invalid address"
        ))),
    }
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
        let pool = network.ipam.pool.unwrap();
        assert_eq!(pool.subnet.unwrap().to_string(), "10.1.0.0/24");
        assert_eq!(pool.range.unwrap().to_string(), "10.1.0.128/25");
        assert_eq!(pool.auxiliary["router"], Ipv4Addr::new(10, 1, 0, 254));
        let plain = r#"{"Name":"n","Driver":"","IPAM":{"Config":[{}]}}"#;
        assert_eq!(read(plain).unwrap().ipam.pool, None);
    }

    #[test]
    fn what_is_not_here_is_named() {
        let error = |json| read(json).unwrap_err().to_string();
        assert!(error(r#"{"Name":"n","EnableIPv6":true}"#).contains("EnableIPv6"));
        assert!(error(r#"{"Name":"n","Scope":"swarm"}"#).contains("scope swarm"));
        assert!(error(r#"{"Name":"n","IPAM":{"Driver":"null"}}"#).contains("IPAM driver null"));
        assert!(error(r#"{"IPAM":{"Config":[{"Subnet":"fd00::/64"}]}}"#).contains("fd00::/64"));
        assert!(error(r#"{"IPAM":{"Config":[{"Subnet":"10.1/8"}]}}"#).contains("10.1/8"));
        assert!(
            error(r#"{"IPAM":{"Config":[{"Gateway":"10.1.0.1"}]}}"#).contains("invalid subnet")
        );
    }
}

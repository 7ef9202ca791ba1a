//! The body of a create: docker's `Config`, `HostConfig` and `NetworkingConfig`.
//!
//! Every field of the API has its place here. One that is absent and one that is `null` are the
//! same, as in Go. A field that this version has no use for is an [`Unset`]: clients send most of
//! them with an empty value, and that is fine; any other value is refused, with the field's name.
//! What is no field of the API is left out, as docker does, and the client is warned.

mod conflicts;
mod endpoints;
mod healthcheck;
mod host_config;
mod lenient;
mod mounts;
mod resources;
mod restart_policy;
mod update;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tare_core::container::{ContainerConfig, HostConfig, IpcMode};

pub(crate) use self::endpoints::EndpointBody;
use self::endpoints::NetworkingBody;
use self::healthcheck::HealthcheckBody;
use self::host_config::HostConfigBody;
pub(crate) use self::lenient::unknown;
use self::lenient::{Unset, Words};
pub(crate) use self::update::UpdateBody;
use crate::error::{Error, Result};
use crate::version::ApiVersion;

/// A map that is only a set of keys.
type Keys = BTreeMap<String, Value>;

/// The whole body. Its first part has the fields of `Config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct CreateBody {
    hostname: Option<String>,
    domainname: Option<String>,
    user: Option<String>,
    attach_stdin: Option<bool>,
    attach_stdout: Option<bool>,
    attach_stderr: Option<bool>,
    exposed_ports: Option<Keys>,
    tty: Option<bool>,
    open_stdin: Option<bool>,
    stdin_once: Option<bool>,
    env: Option<Vec<String>>,
    cmd: Option<Words>,
    healthcheck: Option<HealthcheckBody>,
    args_escaped: Option<bool>,
    image: Option<String>,
    volumes: Option<Keys>,
    working_dir: Option<String>,
    entrypoint: Option<Words>,
    network_disabled: Option<bool>,
    mac_address: Option<String>,
    on_build: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    stop_timeout: Option<i64>,
    shell: Option<Vec<String>>,
    host_config: Option<HostConfigBody>,
    networking_config: Option<NetworkingBody>,
    /// What belongs to the host's part, or is gone, and was here once: clients still send it empty.
    volumes_from: Option<Unset>,
    volume_driver: Option<Unset>,
    port_specs: Option<Unset>,
    memory: Option<Unset>,
    memory_swap: Option<Unset>,
    cpu_shares: Option<Unset>,
    cpuset: Option<Unset>,
    /// node's client repeats here what it says in the query, where it counts.
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "platform")]
    _platform: Option<String>,
    /// Python's client says here what counts in the host's part.
    runtime: Option<String>,
}

/// What a body asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) config: ContainerConfig,
    pub(crate) host: HostConfig,
    /// What its client should know of settings that are left out.
    pub(crate) warnings: Vec<String>,
}

impl CreateBody {
    /// What it says of a container alone, whatever its image is.
    pub(crate) fn into_config(self, version: ApiVersion) -> Result<ContainerConfig> {
        let image = self.image.filter(|image| !image.is_empty()).or_else(|| Some("-".to_owned()));
        Ok(Self { image, ..self }.into_domain(version)?.config)
    }

    /// What it asks of the domain, if all of it makes sense.
    pub(crate) fn into_domain(self, version: ApiVersion) -> Result<Wanted> {
        let Some(image) = self.image.filter(|image| !image.is_empty()) else {
            return Err(Error::invalid("config cannot be empty in order to create a container"));
        };
        let host = self.host_config.unwrap_or_default();
        let warnings = host.discarded(version);
        let mut host = host.into_domain(version)?;
        if let Some(networking) = self.networking_config {
            host.networks = networking.into_domain(version)?;
        }
        if host.runtime.is_empty() {
            host.runtime = self.runtime.unwrap_or_default();
        }
        if let Some(mac) = self.mac_address.filter(|mac| !mac.is_empty()) {
            endpoints::check_mac(&mac)?;
            host.mac_address = Some(mac);
        }
        // Containers could share the IPC objects of any other until API 1.40.
        if version < ApiVersion::new(1, 40) && host.ipc_mode == IpcMode::Default {
            host.ipc_mode = IpcMode::Shareable;
        }
        let ports = self.exposed_ports.unwrap_or_default();
        let config = ContainerConfig {
            hostname: self.hostname.unwrap_or_default(),
            domainname: self.domainname.unwrap_or_default(),
            user: self.user.unwrap_or_default(),
            attach_stdin: self.attach_stdin.unwrap_or_default(),
            attach_stdout: self.attach_stdout.unwrap_or_default(),
            attach_stderr: self.attach_stderr.unwrap_or_default(),
            exposed_ports: ports.keys().map(|port| port.parse()).collect::<Result<_, _>>()?,
            tty: self.tty.unwrap_or_default(),
            open_stdin: self.open_stdin.unwrap_or_default(),
            stdin_once: self.stdin_once.unwrap_or_default(),
            env: self.env.unwrap_or_default(),
            cmd: self.cmd.map(Words::into_list),
            entrypoint: self.entrypoint.map(Words::into_list),
            image,
            volumes: self.volumes.unwrap_or_default().into_keys().collect(),
            working_dir: self.working_dir.unwrap_or_default(),
            network_disabled: self.network_disabled.unwrap_or_default(),
            args_escaped: self.args_escaped.unwrap_or_default(),
            on_build: self.on_build.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            stop_signal: self.stop_signal.filter(|signal| !signal.is_empty()),
            stop_timeout: self.stop_timeout,
            healthcheck: self.healthcheck.map(|check| check.into_domain(version)),
            shell: self.shell.filter(|shell| !shell.is_empty()),
        };
        conflicts::check(&config, &host)?;
        Ok(Wanted { config, host, warnings })
    }
}

#[cfg(test)]
mod tests {
    use tare_core::container::{
        BindSource, HostList, HostPort, MountKind, NetworkMode, PidMode, Propagation, RestartPolicy,
    };

    use super::*;

    /// What `docker run -it` with many options sends.
    const FULL: &str = include_str!("create_full.json");
    /// What `docker create --network host bb` sends.
    const PLAIN: &str = include_str!("create_plain.json");

    fn parse(json: &str) -> Result<(ContainerConfig, HostConfig)> {
        let wanted =
            crate::body::parse::<CreateBody>(json.as_bytes())?.into_domain(ApiVersion::NEWEST)?;
        Ok((wanted.config, wanted.host))
    }

    #[test]
    fn a_plain_create_of_the_cli_asks_for_nothing_special() {
        let (config, host) = parse(PLAIN).unwrap();
        let expected = ContainerConfig {
            attach_stdout: true,
            attach_stderr: true,
            image: "bb".to_owned(),
            ..ContainerConfig::default()
        };
        assert_eq!(config, expected);
        let expected = HostConfig { network_mode: NetworkMode::Host, ..HostConfig::default() };
        let expected_resources =
            tare_core::container::Resources { oom_kill_disable: Some(false), ..Default::default() };
        let empty_lists = host.empty_lists;
        assert_eq!(empty_lists.shown::<u8>(HostList::Dns, Vec::new()), Some(Vec::new()));
        assert_eq!(empty_lists.shown::<u8>(HostList::CapAdd, Vec::new()), None);
        assert_eq!(host, HostConfig { resources: expected_resources, empty_lists, ..expected });
    }

    #[test]
    fn every_option_arrives() {
        let (config, host) = parse(FULL).unwrap();
        assert_eq!(config.cmd.as_deref(), Some(["arg1".to_owned()].as_slice()));
        assert_eq!(config.entrypoint.as_deref(), Some(["e".to_owned()].as_slice()));
        assert_eq!(config.stop_timeout, Some(3));
        assert!(config.tty && config.open_stdin && config.stdin_once);
        assert_eq!(config.exposed_ports.len(), 3);

        let ephemeral = &host.port_bindings[&"99/tcp".parse().unwrap()];
        assert_eq!(ephemeral[0].host_port, HostPort::Ephemeral);
        let fixed = &host.port_bindings[&"81/tcp".parse().unwrap()];
        assert_eq!(fixed[0].host_port, HostPort::Fixed(8001));
        assert_eq!(host.binds[0].source, BindSource::Path("/tmp".to_owned()));
        assert_eq!(host.pid_mode, PidMode::Host);
        assert_eq!(host.restart_policy, RestartPolicy::OnFailure { maximum_retries: 3 });
        let mac = host.networks["bridge"].mac_address.as_deref();
        assert_eq!(mac, Some("02:42:ac:11:00:09"));
        assert_eq!(host.shm_size, Some(1 << 20));
        assert_eq!(host.init, Some(true));
        assert_eq!(host.cap_add, ["CAP_NET_ADMIN"]);
        assert_eq!(host.tmpfs["/t"], "size=1m");
        assert_eq!(host.resources.memory_swap, -1);
        assert_eq!(host.resources.pids_limit, None);
        assert_eq!(host.resources.nano_cpus, 1_500_000_000);
        assert_eq!(host.resources.devices[0].container_path, "/dev/xx");
        assert_eq!((host.resources.ulimits[0].soft, host.resources.ulimits[0].hard), (10, 20));
        assert_eq!(host.mounts.len(), 3);
        let MountKind::Bind { propagation, .. } = &host.mounts[0].kind else { panic!() };
        assert_eq!(*propagation, Some(Propagation::Rslave));
        assert_eq!(
            host.mounts[1].kind,
            MountKind::Tmpfs { size: Some(1 << 20), mode: Some(0o700), options: Vec::new() }
        );
    }

    /// The plain body with one value of `HostConfig` set.
    fn with_host(field: &str, value: serde_json::Value) -> String {
        let mut body: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
        body["HostConfig"][field] = value;
        body.to_string()
    }

    #[test]
    fn what_is_not_here_is_refused_by_name() {
        let refused = [("CpuCount", serde_json::json!(1)), ("DiskQuota", serde_json::json!(1))];
        for (field, value) in refused {
            let error = parse(&with_host(field, value)).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "invalid request body: HostConfig.{field}: not supported by this version of \
                     tared"
                )
            );
        }
    }

    #[test]
    fn what_nobody_knows_is_noticed() {
        let json = r#"{"Image":"bb","Rnutime":"runc","Runtime":null,"ExposedPorts":{"80/tcp":{}},
            "Volumes":{"/v":{}},"HostConfig":{"Memroy":1},"Healthcheck":{"Tset":["NONE"]},
            "NetworkingConfig":{"EndpointsConfig":{"bridge":{"NetworkID":"","Nmae":1}}}}"#;
        let (body, unknown) = crate::body::parse_noticing::<CreateBody>(json.as_bytes()).unwrap();
        assert_eq!(
            unknown,
            [
                "Healthcheck.Tset",
                "HostConfig.Memroy",
                "NetworkingConfig.EndpointsConfig.bridge.Nmae",
                "Rnutime"
            ]
        );
        body.into_domain(ApiVersion::NEWEST).unwrap();
    }

    #[test]
    fn what_means_nothing_is_accepted() {
        for (field, value) in [
            ("Isolation", serde_json::json!("default")),
            ("KernelMemory", serde_json::json!(0)),
            ("StorageOpt", serde_json::json!({})),
        ] {
            parse(&with_host(field, value)).unwrap();
        }
        parse(r#"{"Image":"bb","Healthcheck":{"Test":["NONE"]},"Cmd":"ls","Env":null}"#).unwrap();
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut body: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
        body["HostConfig"]["KernelMemory"] = 4_194_304.into();
        body["HostConfig"]["CpuPercent"] = 7.into();
        body["HostConfig"]["VolumeDriver"] = "local".into();
        body["HostConfig"]["Mounts"] = serde_json::json!([{"Type": "volume", "Target": "/x"}]);
        let warnings = |version| {
            let body: CreateBody = crate::body::parse(body.to_string().as_bytes()).unwrap();
            body.into_domain(version).unwrap().warnings
        };
        assert_eq!(warnings(ApiVersion::NEWEST).len(), 3);
        assert_eq!(warnings(ApiVersion::new(1, 47)).len(), 2);
    }

    #[test]
    fn wrong_values_are_named() {
        let error = |json: &str| parse(json).unwrap_err().to_string();
        let host = |field, value| error(&with_host(field, value));
        assert!(host("Memory", "1m".into()).contains("HostConfig.Memory: invalid type"));
        let policy = serde_json::json!({"Name": "sometimes", "MaximumRetryCount": 0});
        assert!(host("RestartPolicy", policy).contains("unknown policy 'sometimes'"));
        assert!(host("ShmSize", (-1).into()).contains("SHM size"));
        assert!(host("Dns", serde_json::json!(["x"])).contains("invalid IP address: x"));
        assert!(error("{}").starts_with("config cannot be empty"));
        assert!(error(r#"{"Image":"bb","ExposedPorts":{"x/tcp":{}}}"#).contains("invalid port"));
        assert!(host("Isolation", "hyperv".into()).contains("linux only supports 'default'"));
        assert!(host("IOMaximumIOps", 1.into()).contains("QoS maximum IOPs"));
        let cut = PLAIN.get(..600).unwrap();
        assert!(error(cut).starts_with("invalid JSON: unexpected EOF"));
    }

    #[test]
    fn a_health_check_arrives() {
        let text = r#"{"Image":"bb","Healthcheck":{"Test":["CMD","a"],"Interval":5,"Retries":2,
            "StartInterval":7,"Timeout":null}}"#;
        let read = |version| {
            let body = crate::body::parse::<CreateBody>(text.as_bytes()).unwrap();
            body.into_domain(version).unwrap().config.healthcheck.unwrap()
        };
        let check = read(ApiVersion::NEWEST);
        assert_eq!(check.test, ["CMD", "a"]);
        assert_eq!((check.interval, check.timeout, check.retries), (5, 0, 2));
        assert_eq!(check.start_interval, 7);
        assert_eq!(read(ApiVersion::new(1, 43)).start_interval, 0);
    }

    #[test]
    fn old_clients_get_shareable_ipc() {
        let body = crate::body::parse::<CreateBody>(PLAIN.as_bytes()).unwrap();
        let host = body.into_domain(ApiVersion::new(1, 39)).unwrap().host;
        assert_eq!(host.ipc_mode, IpcMode::Shareable);
    }
}

//! Settings of docker's that have one value here, or none: each is understood, and refused by its
//! name if it asks for what there is not.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::Value;

use crate::error::Error;

/// A setting.
struct Rule {
    /// Its name in the file.
    key: &'static str,
    /// On the command line, if it can stand there.
    flag: Option<&'static str>,
    kind: Kind,
    /// Values that ask for nothing that is not so already.
    granted: &'static [&'static str],
    /// Why not another one, or what to use instead.
    reason: &'static str,
}

/// How it stands on the command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Alone, or with a value after `=`.
    Switch,
    /// With a value.
    Text,
}

const NO_SWARM: &str = "there is no swarm mode";
const NO_CONTAINERD: &str = "images and containers are kept without containerd";
const NFTABLES: &str = "packets go by one nftables table of our own, which is always there";

/// A switch that can only be this way.
const fn switch(key: &'static str, granted: &'static [&'static str], reason: &'static str) -> Rule {
    Rule { key, flag: Some(key), kind: Kind::Switch, granted, reason }
}

/// A value that can't be set.
const fn text(key: &'static str, granted: &'static [&'static str], reason: &'static str) -> Rule {
    Rule { key, flag: Some(key), kind: Kind::Text, granted, reason }
}

/// A key of the file, with the flag that goes with it, if it has another name.
const fn named(key: &'static str, flag: Option<&'static str>, reason: &'static str) -> Rule {
    Rule { key, flag, kind: Kind::Text, granted: &[], reason }
}

/// All of them.
const RULES: &[Rule] = &[
    switch("live-restore", &["true"], "containers always outlive the daemon; leave it out"),
    switch("iptables", &["true"], NFTABLES),
    switch("ip6tables", &["true"], NFTABLES),
    switch(
        "allow-direct-routing",
        &["false"],
        "published ports are reached by the host's addresses",
    ),
    switch("selinux-enabled", &["false"], "there are no SELinux labels"),
    switch("rootless", &["false"], "it runs as root"),
    switch("experimental", &["false"], "there is nothing experimental to turn on"),
    switch("cri-containerd", &["false"], NO_CONTAINERD),
    text(
        "seccomp-profile",
        &["", "builtin"],
        "a container gets another one by --security-opt seccomp=FILE",
    ),
    named("host-gateway-ip", None, "use host-gateway-ips"),
    named("cdi-spec-dirs", Some("cdi-spec-dir"), "they are /etc/cdi and /var/run/cdi"),
    text("firewall-backend", &["", "nftables"], NFTABLES),
    text("userland-proxy-path", &[""], "there is no proxy"),
    text("bridge-accept-fwmark", &[""], "packets are not told apart by marks"),
    text("containerd", &[""], NO_CONTAINERD),
    text("containerd-namespace", &["moby"], NO_CONTAINERD),
    text("cpu-rt-period", &["0"], "there are no limits of realtime tasks"),
    text("cpu-rt-runtime", &["0"], "there are no limits of realtime tasks"),
    text("network-control-plane-mtu", &["1500"], NO_SWARM),
    text("network-diagnostic-port", &["0"], NO_SWARM),
    text("swarm-default-advertise-addr", &[""], NO_SWARM),
    named("containerd-plugin-namespace", Some("containerd-plugins-namespace"), NO_CONTAINERD),
    named("swarm-raft-heartbeat-tick", None, NO_SWARM),
    named("swarm-raft-election-tick", None, NO_SWARM),
    named("node-generic-resources", Some("node-generic-resource"), NO_SWARM),
    named("authorization-plugins", Some("authorization-plugin"), "there are no plugins"),
    named(
        "allow-nondistributable-artifacts",
        Some("allow-nondistributable-artifacts"),
        "every layer is pushed",
    ),
    named("nri-opts", Some("nri-opts"), "there is no NRI"),
    named("resolv-conf", None, "the host's is /etc/resolv.conf; use dns"),
    named("default-init", None, "use init-path"),
    named("deprecated-key-path", None, "docker has no use for it any more, either"),
    named("graph", Some("graph"), "use data-root"),
    named("cluster-store", Some("cluster-store"), NO_SWARM),
    named("cluster-store-opts", Some("cluster-store-opt"), NO_SWARM),
    named("cluster-advertise", Some("cluster-advertise"), NO_SWARM),
];

/// Those of them that were set, and to what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fixed(BTreeMap<&'static str, Vec<Value>>);

impl Fixed {
    /// Takes a key of the file, if it is one of these.
    pub(super) fn take(&mut self, key: &str, value: &Value) -> bool {
        let Some(rule) = RULES.iter().find(|rule| rule.key == key) else { return false };
        self.0.entry(rule.key).or_default().push(value.clone());
        true
    }

    /// Those that were set.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static str, &Vec<Value>)> {
        self.0.iter().map(|(key, values)| (*key, values))
    }

    /// Refuses what asks for something that there is not.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first of them.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for rule in RULES {
            for value in self.0.get(rule.key).into_iter().flatten() {
                if !rule.granted.contains(&plain(value).as_str()) {
                    let value = plain(value);
                    let reason = format!("it can't be {value}: {}", rule.reason);
                    return Err(Error::setting(rule.key, reason));
                }
            }
        }
        Ok(())
    }
}

/// A value as it would stand on the command line.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Args for Fixed {
    fn augment_args(command: Command) -> Command {
        RULES.iter().filter_map(|rule| Some((rule, rule.flag?))).fold(
            command,
            |command, (rule, flag)| {
                // Nobody needs to read of what can't be set.
                let arg = Arg::new(rule.key).long(flag).hide(true).global(true);
                command.arg(match rule.kind {
                    Kind::Switch => {
                        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                    }
                    Kind::Text => arg.action(ArgAction::Append),
                })
            },
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Fixed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut fixed = Self::default();
        fixed.update_from_arg_matches(matches)?;
        Ok(fixed)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for rule in RULES.iter().filter(|rule| rule.flag.is_some()) {
            for text in matches.get_many::<String>(rule.key).into_iter().flatten() {
                let value = Value::String(text.clone());
                self.0.entry(rule.key).or_default().push(value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_so_already_is_granted_and_the_rest_refused_by_name() {
        let with = |key, value| {
            let mut fixed = Fixed::default();
            assert!(fixed.take(key, &value), "{key}");
            fixed.check().map_err(|error| error.to_string())
        };
        assert!(with("iptables", json!(true)).is_ok());
        assert!(with("firewall-backend", json!("nftables")).is_ok());
        assert!(with("cpu-rt-period", json!(0)).is_ok());
        for (key, value) in [
            ("iptables", json!(false)),
            ("firewall-backend", json!("iptables")),
            ("authorization-plugins", json!(["opa"])),
            ("containerd", json!("/run/containerd.sock")),
        ] {
            let error = with(key, value).unwrap_err();
            assert!(
                error.starts_with(&format!("invalid value for {key}: it can't be ")),
                "{error}"
            );
        }
        assert!(!Fixed::default().take("no-such-key", &json!(1)));
    }
}

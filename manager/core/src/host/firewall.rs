//! Firewalls of others that drop what the host forwards to and from containers.
//!
//! A forwarded packet must pass every chain that is hooked in where packets are forwarded; that
//! ours lets it pass is not enough. Docker, ufw and firewalld each close such a chain.

use std::fmt;
use std::path::Path;
use std::process::Command;

use super::check::{Finding, Verdict, finding};
use super::find_program;

const WHAT: &str = "other firewalls";
/// How the names of our own tables begin.
const OURS: &str = "inet tare-";
/// The table of firewalld.
const FIREWALLD: &str = "inet firewalld";
/// The tables that the kernel has for the old iptables, by name.
const OLD_TABLES: &str = "/proc/net/ip_tables_names";

/// A chain of another firewall that drops what it has no rule for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Closed {
    /// The family and the name of its table; none: that of the old iptables.
    table: Option<String>,
    name: String,
    /// Whether docker's chain for its owner's rules is there, which docker leaves alone.
    has_docker_user: bool,
}

/// Whether other firewalls let pass what is forwarded for the containers on `bridge`; only looks.
pub(super) fn others(bridge: &str) -> Vec<Finding> {
    if find_program(Path::new("nft")).is_none() {
        // That is a finding of its own.
        return Vec::new();
    }
    let ruleset = match output("nft", &["list", "ruleset"]) {
        Ok(ruleset) => ruleset,
        Err(finding) => return vec![finding],
    };
    let mut closed = closed_chains(&ruleset, bridge);
    match old_rules() {
        Ok(rules) => closed.extend(rules.and_then(|rules| closed_of_old(&rules, bridge))),
        Err(finding) => return vec![finding],
    }
    if closed.is_empty() {
        return vec![finding(WHAT, Verdict::Good, "none drops what is forwarded for containers")];
    }
    let dropping = |chain: &Closed| {
        let what_to_do = chain.opening(bridge);
        let detail = format!("{chain} drops containers' packets; let them pass: {what_to_do}");
        finding(WHAT, Verdict::Limited, detail)
    };
    closed.iter().map(dropping).collect()
}

impl Closed {
    /// The commands that let pass what comes from or goes to `bridge`.
    fn opening(&self, bridge: &str) -> String {
        match (self.table.as_deref(), self.name.as_str()) {
            (None, _) | (Some("ip filter"), "FORWARD") => {
                let chain = if self.has_docker_user { "DOCKER-USER" } else { "FORWARD" };
                let rule = |flag| format!("iptables -I {chain} {flag} {bridge} -j ACCEPT");
                format!("{} && {}", rule("-i"), rule("-o"))
            }
            (Some(FIREWALLD), _) => format!(
                "firewall-cmd --permanent --zone=trusted --add-interface={bridge} && \
                 firewall-cmd --reload"
            ),
            (Some(table), name) => {
                let rule = |side| format!("nft insert rule {table} {name} {side} {bridge} accept");
                format!("{} && {}", rule("iifname"), rule("oifname"))
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "the chain {} of the nftables table {table}", self.name),
            None => write!(f, "the chain {} of iptables-legacy", self.name),
        }
    }
}

/// The closed chains in a list as nft prints it.
fn closed_chains(ruleset: &str, bridge: &str) -> Vec<Closed> {
    let tables = blocks(ruleset, "table ").into_iter();
    tables
        .filter(|(table, _)| table.starts_with("ip ") || table.starts_with("inet "))
        .filter(|(table, lines)| !table.starts_with(OURS) && !passes(table, lines, bridge))
        .flat_map(|(table, lines)| {
            let text = lines.join("\n");
            let chains = blocks(&text, "chain ");
            let has_docker_user = chains.iter().any(|(name, _)| name == "DOCKER-USER");
            let closed = chains.into_iter().filter(|(_, lines)| is_closed(lines));
            let closed = closed.map(|(name, _)| Closed {
                table: Some(table.clone()),
                name,
                has_docker_user,
            });
            closed.collect::<Vec<_>>()
        })
        .collect()
}

/// The blocks in braces that begin with `keyword`, each with its name and its lines.
fn blocks(text: &str, keyword: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut end = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(end_indent) = end {
            match blocks.last_mut() {
                Some((_, lines)) if line.trim() != "}" || indent != end_indent => {
                    lines.push(line.to_owned());
                }
                _ => end = None,
            }
        } else if let Some(name) = line.trim_start().strip_prefix(keyword) {
            blocks.push((name.trim_end_matches('{').trim().to_owned(), Vec::new()));
            end = Some(indent);
        }
    }
    blocks
}

/// Whether a chain is hooked in where packets are forwarded, and drops what it has no rule for.
fn is_closed(lines: &[String]) -> bool {
    let Some((hook, rules)) = lines.split_first() else { return false };
    let ends_closed = rules.last().is_some_and(|rule| {
        let is_counter = |word: &str| {
            ["counter", "packets", "bytes"].contains(&word) || word.parse::<u64>().is_ok()
        };
        let mut words = rule.split_whitespace();
        words.find(|word| !is_counter(word)).is_some_and(|word| ["drop", "reject"].contains(&word))
    });
    hook.contains("type filter hook forward ") && (hook.contains("policy drop") || ends_closed)
}

/// Whether a table has rules that let pass what comes from the bridge and what goes to it.
fn passes(table: &str, lines: &[String], bridge: &str) -> bool {
    let (from, to) = (format!("iifname \"{bridge}\""), format!("oifname \"{bridge}\""));
    if table == FIREWALLD {
        // Its rules are many, and there for interfaces that were put into a zone.
        return lines.iter().any(|line| line.contains(&from));
    }
    let accepts = |this: &str, other: &str| {
        let accepts = |line: &String| {
            line.contains(this) && !line.contains(other) && line.ends_with("accept")
        };
        lines.iter().any(accepts)
    };
    accepts(&from, &to) && accepts(&to, &from)
}

/// The rules of the old iptables, if there are any. Only asked for then: asking makes them.
fn old_rules() -> Result<Option<String>, Finding> {
    let tables = std::fs::read_to_string(OLD_TABLES).unwrap_or_default();
    if !tables.lines().any(|table| table == "filter") {
        return Ok(None);
    }
    let old = "iptables-legacy";
    let program = if find_program(Path::new(old)).is_some() { old } else { "iptables" };
    output(program, &["-S"]).map(Some)
}

/// The chain of the old iptables, if it is closed, from the rules as it prints them.
fn closed_of_old(rules: &str, bridge: &str) -> Option<Closed> {
    let has = |wanted: &str| rules.lines().any(|line| line == wanted);
    let accepts = |this: &str, other: &str| {
        let (this, other) = (format!(" {this} {bridge} "), format!(" {other} {bridge} "));
        let accepts = |line: &str| {
            line.contains(&this) && !line.contains(&other) && line.ends_with("-j ACCEPT")
        };
        rules.lines().any(accepts)
    };
    let is_closed = has("-P FORWARD DROP") && !(accepts("-i", "-o") && accepts("-o", "-i"));
    is_closed.then(|| Closed {
        table: None,
        name: "FORWARD".to_owned(),
        has_docker_user: has("-N DOCKER-USER"),
    })
}

/// What a program prints, or the finding that it can't be known.
fn output(program: &str, arguments: &[&str]) -> Result<String, Finding> {
    let unknown =
        |reason: String| finding(WHAT, Verdict::Limited, format!("unknown: {program}: {reason}"));
    let output =
        Command::new(program).args(arguments).output().map_err(|e| unknown(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(unknown(said.lines().next().unwrap_or("it failed").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULESET: &str = r#"# Warning: table ip filter is managed by iptables-nft, do not touch!
table ip filter {
	chain DOCKER-USER {
		counter packets 0 bytes 0 return
	}

	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter packets 2 bytes 120 jump DOCKER-USER
		oifname "docker0" counter packets 0 bytes 0 accept
	}
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
}
table inet firewalld {
	set s {
		type ipv4_addr
		elements = { 10.0.0.1,
			     10.0.0.2 }
	}
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		reject with icmpx admin-prohibited
	}
}
table inet own {
	chain through {
		type filter hook forward priority filter; policy accept;
		ip saddr 10.0.0.1 counter packets 0 bytes 0 drop
	}
	chain end {
		type filter hook forward priority filter; policy accept;
		counter packets 0 bytes 0 drop
	}
}
table inet tare-tare0 {
	chain forward {
		type filter hook forward priority filter; policy accept;
		drop
	}
}
"#;

    #[test]
    fn closed_chains_are_found_with_what_opens_them() {
        let closed = closed_chains(RULESET, "tare0");
        let shown: Vec<_> = closed.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "the chain FORWARD of the nftables table ip filter",
                "the chain filter_FORWARD of the nftables table inet firewalld",
                "the chain end of the nftables table inet own"
            ]
        );
        let opening: Vec<_> = closed.iter().map(|chain| chain.opening("tare0")).collect();
        assert!(opening[0].starts_with("iptables -I DOCKER-USER -i tare0 -j ACCEPT && "));
        assert!(opening[1].contains("--add-interface=tare0"));
        assert_eq!(
            opening[2],
            "nft insert rule inet own end iifname tare0 accept && \
             nft insert rule inet own end oifname tare0 accept"
        );
    }

    #[test]
    fn who_has_let_the_bridge_pass_is_not_told_to() {
        let with = |rules: &str| RULESET.replace("\t\tcounter packets 0 bytes 0 return", rules);
        let is_open = |rules: &str| {
            let table = Some("ip filter".to_owned());
            !closed_chains(&with(rules), "tare0").iter().any(|closed| closed.table == table)
        };
        let from = "\t\tiifname \"tare0\" counter packets 0 bytes 0 accept\n";
        let to = "\t\toifname \"tare0\" counter packets 0 bytes 0 accept\n";
        assert!(is_open(&format!("{from}{to}")));
        assert!(!is_open(from));
        assert!(!is_open("\t\tiifname \"tare0\" oifname \"tare0\" accept"));
    }

    #[test]
    fn the_old_iptables_is_read_too() {
        let rules = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n";
        let closed = closed_of_old(rules, "tare0").unwrap();
        assert!(closed.opening("tare0").contains("-I DOCKER-USER -o tare0"));
        let open = format!("{rules}-A FORWARD -i tare0 -j ACCEPT\n-A FORWARD -o tare0 -j ACCEPT\n");
        assert_eq!(closed_of_old(&open, "tare0"), None);
        assert_eq!(closed_of_old("-P FORWARD ACCEPT\n", "tare0"), None);
    }
}

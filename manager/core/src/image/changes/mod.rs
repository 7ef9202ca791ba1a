//! Dockerfile instructions that change an image's configuration (`import --change`).
//!
//! The language is that of docs.docker.com/reference/dockerfile, with the texts that docker gives
//! for what is wrong.

mod health;
mod lines;
mod words;

use super::config::Defaults;
use crate::container::Signal;
use crate::error::{Error, Result};
use lines::{Instruction, instructions};
use words::{expand, split, split_expanded};

/// The shell of commands that are no JSON list.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies the instructions in `changes`, in order, to `defaults`.
///
/// # Errors
/// [`crate::Kind::Invalid`] with docker's text, such as "FROM is not a valid change command".
pub(super) fn apply(defaults: Defaults, changes: &[String]) -> Result<Defaults> {
    let mut state = State { defaults, command_set: false };
    for instruction in instructions(&changes.join("\n")) {
        state.apply(&instruction)?;
    }
    Ok(state.defaults)
}

struct State {
    defaults: Defaults,
    /// A CMD came before: an ENTRYPOINT leaves it alone.
    command_set: bool,
}

impl State {
    fn apply(&mut self, instruction: &Instruction) -> Result<()> {
        let rest = instruction.rest.as_str();
        let name = instruction.name.to_ascii_uppercase();
        let known = matches!(
            name.as_str(),
            "CMD"
                | "ENTRYPOINT"
                | "ENV"
                | "EXPOSE"
                | "HEALTHCHECK"
                | "LABEL"
                | "ONBUILD"
                | "STOPSIGNAL"
                | "USER"
                | "VOLUME"
                | "WORKDIR"
        );
        if !known {
            return Err(Error::invalid(format!(
                "{} is not a valid change command",
                instruction.name
            )));
        }
        if rest.is_empty() && !matches!(name.as_str(), "CMD" | "ENTRYPOINT") {
            let number = match name.as_str() {
                "USER" | "WORKDIR" | "STOPSIGNAL" => "exactly",
                _ => "at least",
            };
            return Err(Error::invalid(format!("{name} requires {number} one argument")));
        }
        match name.as_str() {
            "CMD" => self.command(rest),
            "ENTRYPOINT" => self.entrypoint(rest),
            "ENV" => self.environment(rest)?,
            "EXPOSE" => self.expose(rest)?,
            "HEALTHCHECK" => self.defaults.healthcheck = Some(health::parse(rest)?),
            "LABEL" => self.label(rest)?,
            "ONBUILD" => self.on_build(rest)?,
            "STOPSIGNAL" => self.stop_signal(rest)?,
            "USER" => self.defaults.user = self.expanded(rest)?,
            "VOLUME" => self.volume(rest)?,
            _ => self.working_directory(rest)?,
        }
        Ok(())
    }

    fn command(&mut self, rest: &str) {
        let words = self.command_line(rest);
        self.command_set = !words.is_empty();
        self.defaults.cmd = Some(words);
    }

    fn entrypoint(&mut self, rest: &str) {
        self.defaults.entrypoint = Some(self.command_line(rest));
        if !self.command_set {
            self.defaults.cmd = None;
        }
    }

    /// A JSON list is taken as it is; anything else is a line for the shell.
    fn command_line(&self, rest: &str) -> Vec<String> {
        if let Some(words) = json_list(rest) {
            return words;
        }
        if rest.is_empty() {
            return Vec::new();
        }
        let shell = self.defaults.shell.clone();
        let mut words = shell.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
        words.push(rest.to_owned());
        words
    }

    fn environment(&mut self, rest: &str) -> Result<()> {
        // All values of one instruction see the environment before it.
        for (name, value) in self.pairs("ENV", rest)? {
            let prefix = format!("{name}=");
            let entry = format!("{prefix}{value}");
            let variables = &mut self.defaults.env;
            match variables.iter_mut().find(|variable| variable.starts_with(&prefix)) {
                Some(variable) => *variable = entry,
                None => variables.push(entry),
            }
        }
        Ok(())
    }

    fn label(&mut self, rest: &str) -> Result<()> {
        let labels = self.pairs("LABEL", rest)?;
        self.defaults.labels.extend(labels);
        Ok(())
    }

    /// `name=value ...`, or in the old form one name and the rest of the line.
    fn pairs(&self, instruction: &str, rest: &str) -> Result<Vec<(String, String)>> {
        let words = split(rest);
        let old_form = words.first().is_some_and(|first| !first.contains('='));
        let raw: Vec<(&str, &str)> = if old_form {
            let (name, value) = rest
                .split_once(char::is_whitespace)
                .ok_or_else(|| Error::invalid(format!("{instruction} must have two arguments")))?;
            vec![(name, value.trim_start())]
        } else {
            let pairs = words.iter().map(|word| {
                word.split_once('=').ok_or_else(|| {
                    Error::invalid(format!(
                        "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
                    ))
                })
            });
            pairs.collect::<Result<_>>()?
        };
        let pairs = raw.into_iter().map(|(name, value)| {
            let name = self.expanded(name)?;
            if name.is_empty() {
                return Err(Error::invalid(format!("{instruction} names can not be blank")));
            }
            Ok((name, self.expanded(value)?))
        });
        pairs.collect()
    }

    fn expose(&mut self, rest: &str) -> Result<()> {
        for spec in split_expanded(rest, &self.defaults.env)? {
            for port in exposed_ports(&spec)? {
                self.defaults.exposed_ports.insert(port);
            }
        }
        Ok(())
    }

    fn on_build(&mut self, rest: &str) -> Result<()> {
        let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match trigger.as_str() {
            "ONBUILD" => {
                Err(Error::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"))
            }
            "MAINTAINER" | "FROM" => {
                Err(Error::invalid(format!("{trigger} isn't allowed as an ONBUILD trigger")))
            }
            _ => {
                self.defaults.on_build.push(rest.to_owned());
                Ok(())
            }
        }
    }

    fn stop_signal(&mut self, rest: &str) -> Result<()> {
        let signal = self.expanded(rest)?;
        let _known: Signal = signal.parse()?;
        self.defaults.stop_signal = Some(signal);
        Ok(())
    }

    fn volume(&mut self, rest: &str) -> Result<()> {
        let paths = match json_list(rest) {
            Some(paths) => paths,
            None => rest.split_whitespace().map(str::to_owned).collect(),
        };
        for path in paths {
            let path = self.expanded(path.trim())?;
            if path.is_empty() {
                return Err(Error::invalid("VOLUME specified can not be an empty string"));
            }
            self.defaults.volumes.insert(path);
        }
        Ok(())
    }

    /// A relative path goes on from the directory so far.
    fn working_directory(&mut self, rest: &str) -> Result<()> {
        let path = self.expanded(rest)?;
        let from = if path.starts_with('/') { "" } else { self.defaults.working_dir.as_str() };
        let mut parts: Vec<&str> = Vec::new();
        for part in from.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        self.defaults.working_dir = format!("/{}", parts.join("/"));
        Ok(())
    }

    fn expanded(&self, word: &str) -> Result<String> {
        expand(word, &self.defaults.env)
    }
}

/// A JSON list of texts, if `text` is one.
fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// `[[address:]host port:]port[-last port][/protocol]`: what a container listens on.
fn exposed_ports(spec: &str) -> Result<Vec<String>> {
    let (ports, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let ports = ports.rsplit(':').next().unwrap_or_default();
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid proto: {protocol}")));
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => {
            Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
        }
        _ => Err(Error::invalid(format!("invalid containerPort: {ports}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> Result<Defaults> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply(Defaults::default(), &changes)
    }

    #[test]
    fn each_instruction_sets_its_part() {
        let defaults = applied(&[
            "# a comment",
            "ENV A=1 B=\"two words\" C='$A'",
            "env D $A and ${B}",
            "CMD [\"nginx\", \"-g\", \"daemon off;\"]",
            "ENTRYPOINT exec \\\n  /run.sh $X",
            "EXPOSE 80 443/TCP 53-54/udp $A",
            "LABEL a=b \"c d\"=\"e f\"",
            "USER www:www",
            "VOLUME /a /b",
            "VOLUME [\"/c d\"]",
            "WORKDIR /srv/x",
            "WORKDIR ../y/./z",
            "STOPSIGNAL SIGQUIT",
            "ONBUILD RUN echo  hi",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost",
        ])
        .unwrap();
        assert_eq!(defaults.env, ["A=1", "B=two words", "C=$A", "D=1 and two words"]);
        assert_eq!(defaults.cmd.unwrap(), ["nginx", "-g", "daemon off;"]);
        assert_eq!(defaults.entrypoint.unwrap(), ["/bin/sh", "-c", "exec   /run.sh $X"]);
        let ports: Vec<_> = defaults.exposed_ports.into_iter().collect();
        assert_eq!(ports, ["1/tcp", "443/tcp", "53/udp", "54/udp", "80/tcp"]);
        assert_eq!(defaults.labels["c d"], "e f");
        assert_eq!(defaults.user, "www:www");
        assert_eq!(defaults.volumes.into_iter().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
        assert_eq!(defaults.working_dir, "/srv/y/z");
        assert_eq!(defaults.stop_signal.unwrap(), "SIGQUIT");
        assert_eq!(defaults.on_build, ["RUN echo  hi"]);
        let health = defaults.healthcheck.unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "curl -f localhost"]);
        assert_eq!((health.interval, health.retries), (90_000_000_000, 3));
    }

    #[test]
    fn an_entrypoint_takes_an_inherited_command_away() {
        let inherited = Defaults { cmd: Some(vec!["sh".to_owned()]), ..Defaults::default() };
        let changed = apply(inherited.clone(), &["ENTRYPOINT [\"/x\"]".to_owned()]).unwrap();
        assert_eq!(changed.cmd, None);
        let changes = ["CMD [\"a\"]".to_owned(), "ENTRYPOINT [\"/x\"]".to_owned()];
        assert_eq!(apply(inherited, &changes).unwrap().cmd.unwrap(), ["a"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_dockers_words() {
        for (change, text) in [
            ("FROM x", "FROM is not a valid change command"),
            ("nonsense", "nonsense is not a valid change command"),
            ("ENV A", "ENV must have two arguments"),
            ("ENV A=1 B", "can't find = in \"B\""),
            ("ENV =1", "ENV names can not be blank"),
            ("EXPOSE 0", "invalid containerPort: 0"),
            ("EXPOSE 80/icmp", "invalid proto: icmp"),
            ("USER", "USER requires exactly one argument"),
            ("ENV", "ENV requires at least one argument"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
            ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
            ("LABEL a=${b", "missing '}'"),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ] {
            let error = applied(&[change]).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Invalid);
            assert!(error.to_string().contains(text), "{change}: {error}");
        }
    }
}

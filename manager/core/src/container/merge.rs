//! What a container takes over from its image where its user says nothing.

use super::config::ContainerConfig;
use super::spec::environment::name_of;
use crate::error::{Error, Result};
use crate::image::{Defaults, Healthcheck};

/// Fills `config` up from the image's `defaults`.
///
/// # Errors
/// Invalid if there is no program in either.
pub(super) fn merge(config: &mut ContainerConfig, defaults: &Defaults) -> Result<()> {
    if config.user.is_empty() {
        config.user.clone_from(&defaults.user);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&defaults.working_dir);
    }
    for port in &defaults.exposed_ports {
        config.exposed_ports.insert(port.parse()?);
    }
    config.volumes.extend(defaults.volumes.iter().cloned());
    for (label, value) in &defaults.labels {
        config.labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    if config.env.is_empty() {
        config.env.clone_from(&defaults.env);
    } else {
        let own: Vec<String> = config.env.iter().map(|env| name_of(env).to_owned()).collect();
        let missing = |env: &&String| !own.iter().any(|name| name == name_of(env));
        config.env.extend(defaults.env.iter().filter(missing).cloned());
    }
    merge_command(config, defaults);
    if config.stop_signal.is_none() {
        config.stop_signal.clone_from(&defaults.stop_signal);
    }
    merge_healthcheck(&mut config.healthcheck, defaults.healthcheck.as_ref());
    if config.shell.is_none() {
        config.shell.clone_from(&defaults.shell);
    }
    if config.on_build.is_empty() {
        config.on_build.clone_from(&defaults.on_build);
    }
    if is_empty(config.entrypoint.as_ref()) && is_empty(config.cmd.as_ref()) {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

/// The program and its arguments.
pub(super) fn command(config: &ContainerConfig) -> (String, Vec<String>) {
    let entrypoint = config.entrypoint.iter().flatten();
    let mut words = entrypoint.chain(config.cmd.iter().flatten()).cloned();
    (words.next().unwrap_or_default(), words.collect())
}

/// An entrypoint of the user's makes the image's command meaningless; a command of the user's
/// leaves the image's entrypoint. An entrypoint of one empty word means "none at all".
fn merge_command(config: &mut ContainerConfig, defaults: &Defaults) {
    if is_empty(config.entrypoint.as_ref()) {
        if is_empty(config.cmd.as_ref()) {
            config.cmd.clone_from(&defaults.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&defaults.entrypoint);
        }
    }
    if config.entrypoint.as_deref().is_some_and(|words| matches!(words, [word] if word.is_empty()))
    {
        config.entrypoint = None;
    }
}

/// Each part of a health check that its user doesn't say is the image's.
fn merge_healthcheck(own: &mut Option<Healthcheck>, image: Option<&Healthcheck>) {
    let (Some(own), Some(image)) = (own.as_mut(), image) else {
        if own.is_none() {
            *own = image.cloned();
        }
        return;
    };
    if own.test.is_empty() {
        own.test.clone_from(&image.test);
    }
    let or = |own: i64, image: i64| if own == 0 { image } else { own };
    own.interval = or(own.interval, image.interval);
    own.timeout = or(own.timeout, image.timeout);
    own.start_period = or(own.start_period, image.start_period);
    own.start_interval = or(own.start_interval, image.start_interval);
    own.retries = or(own.retries, image.retries);
}

fn is_empty(words: Option<&Vec<String>>) -> bool {
    words.is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split(' ').map(str::to_owned).collect())
    }

    fn merged(entrypoint: Option<&str>, cmd: Option<&str>) -> Result<(String, Vec<String>)> {
        let defaults =
            Defaults { entrypoint: words("/start"), cmd: words("web -d"), ..Defaults::default() };
        let mut config = ContainerConfig {
            entrypoint: entrypoint.and_then(words),
            cmd: cmd.and_then(words),
            ..ContainerConfig::default()
        };
        merge(&mut config, &defaults)?;
        Ok(command(&config))
    }

    fn all(pair: (String, Vec<String>)) -> String {
        let (program, arguments) = pair;
        [vec![program], arguments].concat().join(" ")
    }

    #[test]
    fn the_users_command_goes_to_the_images_entrypoint() {
        assert_eq!(all(merged(None, None).unwrap()), "/start web -d");
        assert_eq!(all(merged(None, Some("db")).unwrap()), "/start db");
        assert_eq!(all(merged(Some("sh"), None).unwrap()), "sh");
        assert_eq!(all(merged(Some("sh"), Some("-c x")).unwrap()), "sh -c x");
        assert_eq!(all(merged(Some(""), Some("ls")).unwrap()), "ls");
        assert_eq!(merged(Some(""), None).unwrap_err().to_string(), "no command specified");
    }

    #[test]
    fn environment_and_labels_are_the_users_first() {
        let defaults = Defaults {
            env: vec!["PATH=/bin".to_owned(), "A=image".to_owned()],
            labels: [("l".to_owned(), "image".to_owned())].into(),
            cmd: words("x"),
            ..Defaults::default()
        };
        let mut config = ContainerConfig {
            env: vec!["A=own".to_owned()],
            labels: [("l".to_owned(), "own".to_owned())].into(),
            ..ContainerConfig::default()
        };
        merge(&mut config, &defaults).unwrap();
        assert_eq!(config.env, ["A=own", "PATH=/bin"]);
        assert_eq!(config.labels["l"], "own");
    }

    #[test]
    fn a_health_check_is_taken_over_part_by_part() {
        let of_image = Healthcheck {
            test: vec!["CMD".to_owned(), "check".to_owned()],
            interval: 5,
            retries: 2,
            ..Healthcheck::default()
        };
        let merged = |mut own: Option<Healthcheck>| {
            merge_healthcheck(&mut own, Some(&of_image));
            own.unwrap()
        };
        assert_eq!(merged(None), of_image);
        let own = Healthcheck { interval: 7, ..Healthcheck::default() };
        assert_eq!(merged(Some(own)), Healthcheck { interval: 7, ..of_image.clone() });
        let none = Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() };
        assert_eq!(merged(Some(none)).test, ["NONE"]);
    }
}

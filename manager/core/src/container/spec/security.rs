//! `--security-opt`: what it may say, and what it means.

use super::super::flag::parse_flag;
use crate::error::{Error, Result};
use crate::host::Security;

use super::seccomp::Profile;

/// What a container's security options come to.
#[derive(Debug, Default)]
pub(crate) struct SecurityOptions {
    /// A program can't gain privileges by executing another; `None`: as the manager's settings say.
    pub(crate) no_new_privileges: Option<bool>,
    /// Whether cgroups can be written; `None`: only if privileged.
    pub(crate) writable_cgroups: Option<bool>,
    /// The system call filter.
    pub(crate) seccomp: SeccompChoice,
    /// The AppArmor profile that is asked for by name.
    apparmor: Option<String>,
    /// SELinux labels that are asked for.
    labels: Vec<String>,
}

/// Which system call filter.
#[derive(Debug, Default)]
pub(crate) enum SeccompChoice {
    /// The built-in one, unless privileged.
    #[default]
    Default,
    /// The built-in one, privileged or not.
    Builtin,
    /// None.
    Unconfined,
    /// The user's.
    Custom(Box<Profile>),
}

impl SecurityOptions {
    /// Reads the options as clients send them: `key=value` or a bare word.
    ///
    /// # Errors
    /// Invalid for what nobody knows.
    pub(crate) fn parse(options: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        for option in options {
            parsed.add(option)?;
        }
        Ok(parsed)
    }

    /// Whether it asks for confinements that are the host's to enforce.
    pub(crate) fn names_confinements(&self) -> bool {
        self.apparmor.is_some() || !self.labels.is_empty()
    }

    /// Refuses confinements that this host enforces and that this manager can't set up.
    ///
    /// # Errors
    /// Unsupported, naming the option.
    pub(crate) fn check(&self, host: &Security) -> Result<()> {
        match (&self.apparmor, self.labels.first()) {
            (Some(profile), _) if host.apparmor => {
                Err(Error::unsupported(format!("--security-opt apparmor={profile}")))
            }
            (_, Some(label)) if host.selinux => {
                Err(Error::unsupported(format!("--security-opt label={label}")))
            }
            _ => Ok(()),
        }
    }

    /// What a user should know of confinements that this host has no means to enforce.
    pub(crate) fn without_effect(&self) -> Vec<String> {
        let label = self.labels.first().map(|label| {
            format!(
                "SELinux is not enabled on this host: --security-opt label={label} has no effect."
            )
        });
        let profile = self.apparmor.as_ref().map(|profile| {
            format!("AppArmor is not enabled on this host: --security-opt apparmor={profile} has no effect.")
        });
        label.into_iter().chain(profile).collect()
    }

    fn add(&mut self, option: &str) -> Result<()> {
        let wrong = || Error::invalid(format!("invalid --security-opt 2: \"{option}\""));
        let flag = |value: &str| parse_flag(value).ok_or_else(wrong);
        let pair = option.split_once('=').or_else(|| option.split_once(':'));
        match (option, pair) {
            ("no-new-privileges", _) => self.no_new_privileges = Some(true),
            ("writable-cgroups", _) => self.writable_cgroups = Some(true),
            // SELinux labels and AppArmor profiles only matter where the kernel enforces them;
            // turning them off is always granted.
            ("disable", _)
            | (_, Some(("label", "disable")))
            | (_, Some(("apparmor", "unconfined"))) => {}
            (_, Some(("no-new-privileges", value))) => self.no_new_privileges = Some(flag(value)?),
            (_, Some(("writable-cgroups", value))) => self.writable_cgroups = Some(flag(value)?),
            (_, Some(("seccomp", "unconfined"))) => self.seccomp = SeccompChoice::Unconfined,
            (_, Some(("seccomp", "builtin"))) => self.seccomp = SeccompChoice::Builtin,
            (_, Some(("seccomp", json))) => {
                self.seccomp = SeccompChoice::Custom(Box::new(Profile::parse(json)?));
            }
            (_, Some(("label", label))) => self.labels.push(label.to_owned()),
            (_, Some(("apparmor", profile))) => self.apparmor = Some(profile.to_owned()),
            (_, Some(_)) => return Err(wrong()),
            (_, None) => {
                return Err(Error::invalid(format!("invalid --security-opt 1: \"{option}\"")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parse(option: &str) -> Result<SecurityOptions> {
        SecurityOptions::parse(&[option.to_owned()])
    }

    #[test]
    fn both_spellings_mean_the_same() {
        for text in ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"] {
            assert_eq!(parse(text).unwrap().no_new_privileges, Some(true), "{text}");
        }
        assert_eq!(parse("no-new-privileges=false").unwrap().no_new_privileges, Some(false));
        let unconfined = parse("seccomp=unconfined").unwrap();
        assert!(matches!(unconfined.seccomp, SeccompChoice::Unconfined));
    }

    #[test]
    fn what_is_unknown_or_not_done_is_refused() {
        assert_eq!(parse("nonsense").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(parse("no-new-privileges=maybe").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(parse("seccomp={").unwrap_err().kind(), Kind::Invalid);
        assert!(
            parse("nonsense=1").unwrap_err().to_string().starts_with("invalid --security-opt 2:")
        );
    }

    #[test]
    fn a_confinement_is_refused_where_the_host_enforces_it() {
        let host =
            |on| Security { seccomp: true, apparmor: on, selinux: on, cgroup_namespaces: true };
        for option in ["apparmor=mine", "label=type:mine_t"] {
            let options = parse(option).unwrap();
            assert!(options.names_confinements());
            let error = options.check(&host(true)).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            options.check(&host(false)).unwrap();
            assert!(options.without_effect().concat().contains(option));
        }
        assert!(!parse("label=disable").unwrap().names_confinements());
    }
}

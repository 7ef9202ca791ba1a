//! The keys of a mount: what each means, and which fit together.

use super::{Mount, MountKind, Owner, Sharing};
use crate::error::{Error, Result};
use crate::text::{boolean, path, quote::quoted, size};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Type {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Type {
    const ALL: [(&str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// What was said, before it is known whether it fits together.
#[derive(Default)]
pub(super) struct Said {
    kind: Type,
    from: Option<String>,
    source: String,
    target: String,
    read_only: Option<bool>,
    size: i64,
    id: String,
    sharing: Option<Sharing>,
    required: bool,
    env: Option<String>,
    owner: Owner,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];
const SHARING: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

impl Said {
    /// Takes a key without a value.
    pub(super) fn flag(&mut self, key: &str, field: &str) -> Result<()> {
        match key {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => {
                self.only_for(key, &[Type::Secret, Type::Ssh])?;
                self.required = true;
            }
            _ => {
                let expected = format!("invalid field '{field}' must be a key=value pair");
                return Err(Error::new(expected));
            }
        }
        Ok(())
    }

    /// Takes a key with its value.
    pub(super) fn set(&mut self, key: &str, value: String, field: &str) -> Result<()> {
        let invalid = |value: &str| Error::new(format!("invalid value for {key}: {value}"));
        match key {
            "type" => self.kind = one_of(&Type::ALL, &value, "unsupported mount type")?,
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => {
                self.read_only = Some(boolean(&value).ok_or_else(|| invalid(&value))?);
            }
            "readwrite" | "rw" => {
                self.read_only = Some(!boolean(&value).ok_or_else(|| invalid(&value))?);
            }
            "required" => {
                self.only_for(key, &[Type::Secret, Type::Ssh])?;
                self.required = boolean(&value).ok_or_else(|| invalid(&value))?;
            }
            "size" => {
                self.only_for(key, &[Type::Tmpfs])?;
                self.size = size::bytes(&value).ok_or_else(|| invalid(&value))?;
            }
            "id" => self.id = value,
            "sharing" => {
                self.sharing = Some(one_of(&SHARING, &value, "unsupported sharing value")?);
            }
            "mode" => self.owner.mode = Some(number(key, &value, 8)?),
            "uid" => self.owner.user = Some(number(key, &value, 10)?),
            "gid" => self.owner.group = Some(number(key, &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                return Err(Error::new(format!("unexpected key '{key}' in '{field}'"))
                    .suggesting(key, KEYS));
            }
        }
        Ok(())
    }

    fn only_for(&self, key: &str, kinds: &[Type]) -> Result<()> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        let kind = self.kind.name();
        Err(Error::new(format!("unexpected key '{key}' for mount type '{kind}'")))
    }

    pub(super) fn mount(self) -> Result<Mount> {
        self.require_owner_allowed()?;
        if self.kind == Type::Secret {
            self.require_secret()?;
        }
        if self.sharing.is_some() && self.kind != Type::Cache {
            let kind = self.kind.name();
            return Err(Error::new(format!("invalid cache sharing set for {kind} mount")));
        }
        let Self { from, source, owner, required, id, .. } = self;
        let kind = match self.kind {
            Type::Bind => {
                MountKind::Bind { from, source, read_only: self.read_only.unwrap_or(true) }
            }
            Type::Cache => MountKind::Cache {
                id,
                sharing: self.sharing.unwrap_or_default(),
                from,
                source,
                read_only: self.read_only.unwrap_or(false),
                owner,
            },
            Type::Tmpfs => {
                MountKind::Tmpfs { size: self.size, read_only: self.read_only.unwrap_or(false) }
            }
            Type::Secret => {
                let id = [source, id, path::base(&self.target).to_owned()];
                let id = id.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
                MountKind::Secret { id, env: self.env, required, owner }
            }
            Type::Ssh if !source.is_empty() => {
                return Err(Error::new("ssh does not support source"));
            }
            Type::Ssh => {
                let id = if id.is_empty() { "default".to_owned() } else { id };
                MountKind::Ssh { id, required, owner }
            }
        };
        Ok(Mount { kind, target: self.target })
    }

    fn require_owner_allowed(&self) -> Result<()> {
        let kind = quoted(self.kind.name());
        let Owner { user, group, mode } = self.owner;
        if matches!(self.kind, Type::Secret | Type::Ssh | Type::Cache) {
            return Ok(());
        }
        for (key, value) in [("mode", mode), ("uid", user), ("gid", group)] {
            if value.is_some() {
                return Err(Error::new(format!("{key} not allowed for {kind} type mounts")));
            }
        }
        Ok(())
    }

    fn require_secret(&self) -> Result<()> {
        let wrong = if self.from.is_some() {
            "secret mount should not have a from"
        } else if self.sharing.is_some() {
            "secret mount should not define sharing"
        } else if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
            "invalid secret mount. one of source, target required"
        } else if !self.source.is_empty() && !self.id.is_empty() {
            "both source and id can't be set"
        } else {
            return Ok(());
        };
        Err(Error::new(wrong))
    }
}

fn one_of<T: Copy>(options: &[(&str, T)], value: &str, otherwise: &str) -> Result<T> {
    let found = options.iter().find(|(name, _)| *name == value.to_lowercase());
    found.map(|(_, option)| *option).ok_or_else(|| {
        let names = options.iter().map(|(name, _)| *name);
        Error::new(format!("{otherwise} {}", quoted(value))).suggesting(value, names)
    })
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { u32::from_str_radix(value, radix).ok() } else { None };
    number.ok_or_else(|| Error::new(format!("invalid value {value} for {key}")))
}

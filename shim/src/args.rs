//! The command line that containerd gives its shims: Go's flags, then an action.

use std::path::PathBuf;

/// What this program has been asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// `-v`: print the version.
    Version,
    /// `-info`: print a RuntimeInfo message.
    Info,
    /// `start`: start a server and print its address.
    Start(Flags),
    /// `delete`: clean up after a server that died.
    Delete(Flags),
}

/// The flags of `start` and `delete`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The namespace that owns the container.
    pub(crate) namespace: String,
    /// The container's id.
    pub(crate) id: String,
    /// The manager's own gRPC address.
    pub(crate) address: String,
    /// The bundle, where it isn't the working directory.
    pub(crate) bundle: Option<PathBuf>,
    /// Also log what goes well.
    pub(crate) debug: bool,
}

/// Reads the arguments that follow the program's name.
///
/// `-publish-binary` is part of the protocol and read, but events go to `-address`, as they do in
/// containerd's own shims.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Invocation, String> {
    let mut flags = Flags::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return action(&arg, flags);
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match name {
            "v" | "version" => return Ok(Invocation::Version),
            "info" => return Ok(Invocation::Info),
            "debug" => flags.debug = inline.is_none_or(|value| value == "true"),
            "namespace" | "id" | "address" | "bundle" | "publish-binary" => {
                let value = inline
                    .or_else(|| args.next())
                    .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
                match name {
                    "namespace" => flags.namespace = value,
                    "id" => flags.id = value,
                    "address" => flags.address = value,
                    "bundle" => flags.bundle = Some(PathBuf::from(value)),
                    _ => {}
                }
            }
            _ => return Err(format!("flag provided but not defined: -{name}")),
        }
    }
    Err("an action is needed: start or delete".to_owned())
}

fn action(name: &str, flags: Flags) -> Result<Invocation, String> {
    if flags.namespace.is_empty() {
        return Err("shim namespace cannot be empty: give -namespace".to_owned());
    }
    if !crate::task::is_valid_id(&flags.id) {
        return Err(format!("-id {:?} is no container id", flags.id));
    }
    match name {
        "start" => Ok(Invocation::Start(flags)),
        "delete" => Ok(Invocation::Delete(flags)),
        other => Err(format!("unknown action {other:?}: use start or delete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_what_containerd_gives() {
        let line =
            "-namespace k8s.io -address /run/c.sock -publish-binary /bin/c -id web -debug start";
        let expected = Flags {
            namespace: "k8s.io".into(),
            id: "web".into(),
            address: "/run/c.sock".into(),
            bundle: None,
            debug: true,
        };
        assert_eq!(parse_line(line), Ok(Invocation::Start(expected)));
    }

    #[test]
    fn takes_double_dashes_and_inline_values() {
        let Ok(Invocation::Delete(flags)) = parse_line("--namespace=n --id=x -bundle=/b delete")
        else {
            panic!("not understood");
        };
        assert_eq!(flags.bundle, Some(PathBuf::from("/b")));
    }

    #[test]
    fn names_what_it_does_not_know() {
        assert!(
            parse_line("-namespace n -id x -colour start").is_err_and(|e| e.contains("-colour"))
        );
        assert!(parse_line("-namespace n -id x stop").is_err_and(|e| e.contains("stop")));
        assert!(parse_line("-id x start").is_err_and(|e| e.contains("namespace")));
        assert!(parse_line("-namespace n -id ../x start").is_err_and(|e| e.contains("../x")));
    }

    #[test]
    fn the_man_page_has_the_options_that_there_are() {
        let page = include_str!("../man/containerd-shim-tare-v2.8").replace("\\-", "-");
        let (_, options) = page.split_once(".SH OPTIONS").unwrap();
        let (options, _) = options.split_once(".SH EXIT STATUS").unwrap();
        let headings = options.split(".TP\n").skip(1).filter_map(|entry| entry.lines().next());
        let named: Vec<_> = headings
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.strip_prefix('-'))
            .collect();
        let all = "namespace id address bundle publish-binary debug v version info";
        assert_eq!(named, all.split(' ').collect::<Vec<_>>());
        for name in named {
            let parsed = parse_line(&format!("-namespace n -id x -{name}=true start"));
            assert!(parsed.is_ok(), "{name}: {parsed:?}");
        }
    }
}

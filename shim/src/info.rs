//! The answers to `-v` and `-info`.

use std::io::Read;
use std::process::{Command, Stdio};

use prost::Message;
use prost_types::Any;
use tare_proto::containerd::types::{RuntimeInfo, RuntimeVersion};

use crate::error::{Context, Result};
use crate::task::TaskOptions;

/// More than this is no options message.
const OPTIONS_LIMIT: u64 = 10 << 20;

/// What `-v` prints.
pub(crate) fn version() -> String {
    format!("{}:\n  Version:  {}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// What `-info` prints: an encoded RuntimeInfo. The options to be described come on stdin.
pub(crate) fn encoded() -> Result<Vec<u8>> {
    let mut input = Vec::new();
    std::io::stdin()
        .take(OPTIONS_LIMIT)
        .read_to_end(&mut input)
        .context(|| "read the options from stdin".to_owned())?;
    let options = match input.as_slice() {
        [] => None,
        bytes => Some(Any::decode(bytes).context(|| "understand the options".to_owned())?),
    };
    let runtime = TaskOptions::read(options.as_ref(), "")?.runtime.program;
    let features = Command::new(&runtime).arg("features").stdin(Stdio::null()).output();
    let features = features.ok().filter(|output| output.status.success()).map(|output| Any {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/features/Features".to_owned(),
        value: output.stdout,
    });
    let info = RuntimeInfo {
        name: "io.containerd.tare.v2".to_owned(),
        version: Some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
        }),
        options,
        features,
        annotations: Default::default(),
    };
    Ok(info.encode_to_vec())
}

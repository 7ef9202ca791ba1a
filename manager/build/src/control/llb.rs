//! Definitions, BuildKit's language of low-level operations. The one that is spoken here says "what
//! was built before": clients get it with a result, and give it back where another build is to use
//! that. All others are refused by the operation that they begin with.

use std::collections::BTreeMap;

use prost::Message;
use tare_proto::builds::pb;
use tare_proto::builds::pb::op::Op as Kind;

use super::wire::digest;
use crate::error::{Error, Result};

/// What the name of a result begins with.
const SCHEME: &str = "tare-result://";
/// Operations that a definition may have.
const MOST: usize = 10_000;

/// The definition of the result called `id`: where it comes from, and that this is all.
pub(super) fn of_result(id: &str) -> pb::Definition {
    let source = pb::SourceOp { identifier: format!("{SCHEME}{id}"), attrs: BTreeMap::new() };
    let source = pb::Op { op: Some(Kind::Source(source)), ..pb::Op::default() }.encode_to_vec();
    let name = digest(&source);
    let input = pb::Input { digest: name.clone(), index: 0 };
    let end = pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec();
    pb::Definition {
        def: vec![source, end],
        metadata: BTreeMap::from([(name, pb::OpMetadata::default())]),
        source: None,
    }
}

/// The name of the result that a definition says; none if it says nothing.
///
/// # Errors
/// If it says anything else.
pub(super) fn result(definition: &pb::Definition) -> Result<Option<String>> {
    if definition.def.len() > MOST {
        return Err(Error::invalid(format!("a definition with more than {MOST} operations")));
    }
    let mut name = None;
    for bytes in &definition.def {
        let operation = pb::Op::decode(bytes.as_slice())
            .map_err(|error| Error::invalid(format!("failed to parse llb proto op: {error}")))?;
        match operation.op {
            // The end of it.
            None => {}
            Some(Kind::Source(source)) => match source.identifier.strip_prefix(SCHEME) {
                Some(id) if name.is_none() => name = Some(id.to_owned()),
                Some(_) => return Err(refused("several results")),
                None => return Err(refused(&format!("the source {}", source.identifier))),
            },
            Some(Kind::Exec(_)) => return Err(refused("exec")),
            Some(Kind::File(_)) => return Err(refused("file")),
            Some(Kind::Build(_)) => return Err(refused("build")),
            Some(Kind::Merge(_)) => return Err(refused("merge")),
            Some(Kind::Diff(_)) => return Err(refused("diff")),
        }
    }
    Ok(name)
}

fn refused(operation: &str) -> Error {
    Error::unsupported(format_args!(
        "a build defined by low-level operations (LLB), not a Dockerfile: {operation}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_result_is_found_again() {
        let definition = of_result("x1");
        assert_eq!(result(&definition).unwrap().as_deref(), Some("x1"));
        let end = pb::Op::decode(definition.def[1].as_slice()).unwrap();
        assert!(definition.metadata.contains_key(&end.inputs[0].digest));
        assert_eq!(result(&pb::Definition::default()).unwrap(), None);
    }

    #[test]
    fn other_operations_are_refused_by_name() {
        let of = |op| pb::Definition {
            def: vec![pb::Op { op: Some(op), ..pb::Op::default() }.encode_to_vec()],
            ..pb::Definition::default()
        };
        let exec = result(&of(Kind::Exec(pb::ExecOp::default()))).unwrap_err();
        assert!(exec.message.contains("(LLB), not a Dockerfile: exec"), "{exec}");
        let image = pb::SourceOp { identifier: "docker-image://x".into(), ..Default::default() };
        let image = result(&of(Kind::Source(image))).unwrap_err();
        assert!(image.message.contains("the source docker-image://x"), "{image}");
    }

    proptest! {
        #[test]
        fn anything_may_come(def in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let _ = result(&pb::Definition { def, ..pb::Definition::default() });
        }
    }
}

//! Arguments that were given, and that the file doesn't know.

use std::collections::{BTreeMap, BTreeSet};

use tare_dockerfile::instruction::{Dockerfile, Instruction, Step};

/// What needs no ARG.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// What there is to say of arguments that no ARG names in the first `stages` stages.
pub(super) fn warning(
    file: &Dockerfile,
    stages: usize,
    given: &BTreeMap<String, Option<String>>,
) -> Option<String> {
    let stages = file.stages.iter().take(stages).flat_map(|stage| &stage.steps);
    let named: BTreeSet<&str> = file.arguments.iter().chain(stages).flat_map(named).collect();
    let is_proxy = |name: &str| PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
    let left: Vec<&str> = given
        .keys()
        .map(String::as_str)
        .filter(|name| !named.contains(name) && !is_proxy(name))
        .collect();
    (!left.is_empty())
        .then(|| format!("[Warning] One or more build-args [{}] were not consumed", left.join(" ")))
}

fn named(step: &Step) -> Vec<&str> {
    match &step.instruction {
        Instruction::Arg(arguments) => arguments.iter().map(|arg| arg.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tare_dockerfile::lint::{Checks, Linter};

    use super::*;

    #[test]
    fn what_no_instruction_names_is_told() {
        let text = b"ARG A\nFROM x\nARG B=1\nFROM y\nARG C\n";
        let file = Dockerfile::parse(text, &mut Linter::new(Checks::default())).unwrap();
        let given = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), None)).collect();
        assert_eq!(warning(&file, 2, &given(&["A", "B", "C", "http_proxy"])), None);
        let expected = "[Warning] One or more build-args [C D] were not consumed";
        assert_eq!(warning(&file, 1, &given(&["D", "A", "C"])).as_deref(), Some(expected));
    }
}

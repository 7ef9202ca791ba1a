//! The environment of a container's processes.

/// Where programs are looked for unless the image says otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container's variables: the defaults, and over them its own. A variable without a value takes
/// the default away.
pub(crate) fn of_container(hostname: &str, terminal: bool, own: &[String]) -> Vec<String> {
    let mut defaults = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if terminal {
        defaults.push("TERM=xterm".to_owned());
    }
    merge(defaults, own)
}

/// `base` with what `over` sets or takes away; the order stays.
pub(crate) fn merge(mut base: Vec<String>, over: &[String]) -> Vec<String> {
    for variable in over {
        let name = name_of(variable);
        let place = base.iter().position(|existing| name_of(existing) == name);
        match (place, variable.contains('=')) {
            (Some(place), true) => {
                if let Some(existing) = base.get_mut(place) {
                    variable.clone_into(existing);
                }
            }
            (Some(place), false) => {
                base.remove(place);
            }
            (None, true) => base.push(variable.clone()),
            (None, false) => {}
        }
    }
    base
}

/// Adds `HOME` unless it is set.
pub(crate) fn with_home(mut variables: Vec<String>, home: &str) -> Vec<String> {
    if !variables.iter().any(|variable| name_of(variable) == "HOME") {
        variables.push(format!("HOME={home}"));
    }
    variables
}

/// What stands before the `=`.
pub(crate) fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn own_variables_stand_over_the_defaults() {
        let variables = of_container("box", true, &owned(&["A=1", "PATH=/bin", "TERM"]));
        assert_eq!(variables, ["PATH=/bin", "HOSTNAME=box", "A=1"]);
        assert!(!of_container("box", false, &[]).contains(&"TERM=xterm".to_owned()));
    }

    #[test]
    fn home_is_only_set_where_it_is_missing() {
        assert_eq!(with_home(owned(&["HOME=/x"]), "/root"), ["HOME=/x"]);
        assert_eq!(with_home(Vec::new(), "/root"), ["HOME=/root"]);
    }
}

//! The labels and variables that a log's options select into every line.

use std::collections::BTreeMap;

use regex::Regex;

use super::super::record::Container;
use super::super::spec::environment::name_of;
use super::tag::tag_of;
use crate::error::{Error, Result};

/// What is selected by the names in one option or by the expression in another.
struct Selection<'a> {
    names: Vec<&'a str>,
    expression: Option<Regex>,
}

/// Refuses expressions that are none.
pub(in crate::container) fn check_selection(options: &BTreeMap<String, String>) -> Result<()> {
    Selection::read(options, "labels")?;
    Selection::read(options, "env").map(drop)
}

/// The attributes of a container's lines.
pub(in crate::container) fn attributes_of(container: &Container) -> Result<Vec<(String, String)>> {
    let options = &container.host.log.options;
    let (labels, variables) =
        (Selection::read(options, "labels")?, Selection::read(options, "env")?);
    let labels = container
        .config
        .labels
        .iter()
        .filter(|(label, _)| labels.has(label))
        .map(|(label, value)| (label.clone(), value.clone()));
    let variables = container
        .config
        .env
        .iter()
        .filter(|variable| variables.has(name_of(variable)))
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut attributes: Vec<_> = labels.chain(variables).collect();
    // Drivers whose lines have a tag show it there; files show it if it was asked for.
    let is_file = matches!(container.host.log.driver.as_str(), "json-file" | "local");
    if is_file && options.get("tag").is_some_and(|tag| !tag.is_empty()) {
        attributes.push(("tag".to_owned(), tag_of(container)?));
    }
    Ok(attributes)
}

impl<'a> Selection<'a> {
    fn read(options: &'a BTreeMap<String, String>, option: &str) -> Result<Self> {
        let value = |option: &str| {
            options.get(option).map(String::as_str).filter(|value| !value.is_empty())
        };
        let names = value(option).unwrap_or_default().split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty()).collect();
        let with_expression = format!("{option}-regex");
        let expression = value(&with_expression).map(Regex::new).transpose();
        let expression = expression.map_err(|error| {
            Error::invalid(format!("the log option {with_expression}: {error}"))
        })?;
        Ok(Selection { names, expression })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.expression.as_ref().is_some_and(|all| all.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;

    #[test]
    fn names_and_expressions_select() {
        let mut container = fixture::container();
        container.config.env = ["A=1", "B_x=2", "C"].map(str::to_owned).into();
        container.config.labels =
            [("l", "3"), ("m", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        container.host.log.driver = "local".to_owned();
        container.host.log.options =
            [("env-regex", "^B_"), ("env", "C"), ("labels", "m, z"), ("tag", "{{.Name}}")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        let found = attributes_of(&container).unwrap();
        let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, [("m", "4"), ("B_x", "2"), ("tag", "calm_turing")]);
    }
}

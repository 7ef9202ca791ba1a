//! docker's log option `tag`: a template whose fields stand for facts of the container.

use super::super::record::Container;
use crate::error::{Error, Result};

/// What a tag is where none is asked for.
const DEFAULT: &str = "{{.ID}}";

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Field(Field),
}

/// A fact of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    ShortId,
    FullId,
    Name,
    Command,
    ShortImageId,
    FullImageId,
    ImageName,
    HostName,
    DaemonName,
}

/// Refuses templates that can't be filled in.
pub(in crate::container) fn check_tag(template: &str) -> Result<()> {
    parse(template).map(drop)
}

/// The tag of a container's lines, by its option `tag` or the default.
pub(in crate::container) fn tag_of(container: &Container) -> Result<String> {
    let template = container.host.log.options.get("tag").map_or("", String::as_str);
    let template = if template.is_empty() { DEFAULT } else { template };
    let parts = parse(template)?;
    Ok(parts.iter().map(|part| part.fill_in(container)).collect())
}

fn parse(template: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, field)) = rest.split_once("{{") {
        let (field, after) = field
            .split_once("}}")
            .ok_or_else(|| Error::invalid(format!("the log tag {template:?} lacks a }}}}")))?;
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts.push(Part::Field(Field::parse(field)?));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

impl Field {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.trim() {
            ".ID" => Field::ShortId,
            ".FullID" | ".ContainerID" => Field::FullId,
            ".Name" | ".ContainerName" => Field::Name,
            ".Command" => Field::Command,
            ".ImageID" => Field::ShortImageId,
            ".ImageFullID" | ".ContainerImageID" => Field::FullImageId,
            ".ImageName" | ".ContainerImageName" => Field::ImageName,
            ".Hostname" => Field::HostName,
            ".DaemonName" => Field::DaemonName,
            other => {
                return Err(Error::unsupported(format!("{{{{{other}}}}} in a log tag")));
            }
        })
    }
}

impl Part<'_> {
    fn fill_in(&self, container: &Container) -> String {
        let field = match self {
            Part::Text(text) => return (*text).to_owned(),
            Part::Field(field) => field,
        };
        let id = container.id.as_str();
        let image = container.image_id.as_str();
        let image = image.split_once(':').map_or(image, |(_, digest)| digest);
        match field {
            Field::ShortId => container.id.short().to_owned(),
            Field::FullId => id.to_owned(),
            Field::Name => container.name.clone(),
            Field::Command => {
                let words: Vec<_> =
                    std::iter::once(&container.path).chain(&container.arguments).cloned().collect();
                words.join(" ")
            }
            Field::ShortImageId => image.get(..12).unwrap_or(image).to_owned(),
            Field::FullImageId => container.image_id.clone(),
            Field::ImageName => container.image_name.clone(),
            Field::HostName => crate::host::System::read().host_name,
            Field::DaemonName => "tared".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;

    #[test]
    fn fields_stand_for_the_containers_facts() {
        let mut container = fixture::container();
        container.image_name = "nginx".to_owned();
        let mut tag = |template: &str| {
            container.host.log.options.insert("tag".to_owned(), template.to_owned());
            tag_of(&container).unwrap()
        };
        assert_eq!(tag("{{.ImageName}}/{{ .Name }}!"), "nginx/calm_turing!");
        assert_eq!(tag("{{.ID}}").len(), 12);
        assert_eq!(tag(""), tag("{{.ID}}"));
    }

    #[test]
    fn what_can_not_be_filled_in_is_named() {
        let refused = |template| check_tag(template).unwrap_err().to_string();
        assert!(refused("{{.Colour}}").contains(".Colour"));
        assert!(refused("a{{.ID").contains("a{{.ID"));
    }
}

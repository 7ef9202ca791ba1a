//! Prometheus's text format.

use std::fmt::{Display, Write};

/// What sort of number it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts of what was below each of several bounds.
    Histogram,
}

/// The text as far as it is written.
#[derive(Default)]
pub(super) struct Text {
    written: String,
    name: &'static str,
}

impl Text {
    /// Begins a metric.
    pub(super) fn begin(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// A value of it.
    pub(super) fn value(&mut self, labels: &[(&str, String)], value: impl Display) {
        self.part("", labels, value);
    }

    /// One of the values that are one value together: `NAME_suffix`.
    pub(super) fn part(&mut self, suffix: &str, labels: &[(&str, String)], value: impl Display) {
        let name = self.name;
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        match labels.is_empty() {
            true => self.line(format_args!("{name}{suffix} {value}")),
            false => self.line(format_args!("{name}{suffix}{{{}}} {value}", labels.join(","))),
        }
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.written
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = writeln!(self.written, "{line}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_labels() {
        let mut text = Text::default();
        text.begin("a_total", Kind::Counter, "How many");
        text.value(&[], 3);
        text.value(&[("os", "a \"b\"\\".to_owned()), ("x", String::new())], 1.5);
        let expected = "# HELP a_total How many\n# TYPE a_total counter\na_total 3\n\
                        a_total{os=\"a \\\"b\\\"\\\\\",x=\"\"} 1.5\n";
        assert_eq!(text.finish(), expected);
    }
}

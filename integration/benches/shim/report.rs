//! The results, for people and for programs.

use serde_json::{Value, json};

use crate::common::Format;

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// The lower.
    Less,
    /// The higher.
    More,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// What programs find them under.
    name: &'static str,
    format: Format,
    rows: Vec<Row>,
}

/// One thing that was measured, of several contenders; ours is the first.
#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    better: Better,
    contenders: Vec<(String, Vec<f64>)>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(name: &'static str, format: Format) -> Report {
        Report { name, format, rows: Vec::new() }
    }

    /// Adds what was measured, contender by contender; for people it is shown at once.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        better: Better,
        contenders: impl IntoIterator<Item = (impl Into<String>, Vec<f64>)>,
    ) {
        let mut contenders: Vec<(String, Vec<f64>)> =
            contenders.into_iter().map(|(name, figures)| (name.into(), figures)).collect();
        contenders.retain(|(_, figures)| !figures.is_empty());
        contenders.iter_mut().for_each(|(_, figures)| figures.sort_by(f64::total_cmp));
        let row = Row { what: what.into(), unit, better, contenders };
        if self.format == Format::Table {
            row.print();
        }
        self.rows.push(row);
    }

    /// Prints for programs what people have seen already.
    pub(crate) fn finish(&self) {
        if self.format == Format::Json {
            let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
            println!("{:#}", json!({ self.name: rows }));
        }
    }
}

impl Row {
    /// Our median as a part of a peer's.
    fn ratio(&self, peer: &[f64]) -> Option<f64> {
        let (_, ours) = self.contenders.first()?;
        let ratio = median(ours) / median(peer);
        ratio.is_finite().then_some(ratio)
    }

    fn print(&self) {
        let goal = match self.better {
            Better::Less => "less is better",
            Better::More => "more is better",
        };
        println!("{}, {} ({goal})", self.what, self.unit);
        for (at, (name, figures)) in self.contenders.iter().enumerate() {
            let spread = match figures.as_slice() {
                [] | [_] => String::new(),
                [least, .., largest] => format!("({least:.2} to {largest:.2})"),
            };
            let ratio = match self.ratio(figures) {
                Some(ratio) if at > 0 => format!("tare: {ratio:.2} of it"),
                _ => String::new(),
            };
            println!("    {name:<34} {:>10.2} {spread:<24} {ratio}", median(figures));
        }
    }

    fn json(&self) -> Value {
        let contenders: Vec<_> = self
            .contenders
            .iter()
            .map(|(name, figures)| {
                json!({
                    "contender": name,
                    "least": figures.first(),
                    "median": median(figures),
                    "largest": figures.last(),
                    "tareOfIt": self.ratio(figures),
                })
            })
            .collect();
        let better = match self.better {
            Better::Less => "less",
            Better::More => "more",
        };
        json!({ "what": self.what, "unit": self.unit, "better": better, "contenders": contenders })
    }
}

/// The middle of sorted figures.
fn median(figures: &[f64]) -> f64 {
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

//! The results, for people and for programs.

use serde_json::{Value, json};

use crate::cases::Throughput;
use crate::contender::Contender;
use crate::figures::{Cost, Costs, Spread};

/// All that was measured; every list has an entry for each contender, in their order.
#[derive(Debug)]
pub(crate) struct Report {
    names: Vec<&'static str>,
    rows: Vec<(&'static str, Vec<Costs>)>,
    /// Many at once.
    pub(crate) crowd: Vec<Option<Throughput>>,
    /// The peak of the resident set in KiB.
    pub(crate) peak: Vec<Option<u64>>,
    /// The smallest memory limit in KiB.
    pub(crate) limit: Vec<Option<u64>>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(contenders: &[Contender]) -> Report {
        Report {
            names: contenders.iter().map(|one| one.name).collect(),
            rows: Vec::new(),
            crowd: Vec::new(),
            peak: Vec::new(),
            limit: Vec::new(),
        }
    }

    /// Adds the costs of one command.
    pub(crate) fn add(&mut self, name: &'static str, costs: Vec<Costs>) {
        self.rows.push((name, costs));
    }

    /// Prints it for people. The last two columns say what part of the peers' median this one's is.
    pub(crate) fn print_table(&self) {
        println!(
            "{:<22} {:<6} {:>26}  {:>26}  {:>15}  {:>15}",
            "milliseconds",
            "",
            "wall: min median max",
            "cpu: min median max",
            "/crun wall cpu",
            "/runc wall cpu"
        );
        for (name, costs) in &self.rows {
            for (contender, own) in self.names.iter().zip(costs) {
                let (Some(wall), Some(cpu)) = (wall(own), cpu(own)) else { continue };
                let ratio = |peer| match self.ratios(own, costs, peer) {
                    Some((wall, cpu)) => format!("{wall:.2} {cpu:.2}"),
                    None => String::new(),
                };
                println!(
                    "{name:<22} {contender:<6} {:>26}  {:>26}  {:>15}  {:>15}",
                    text(wall),
                    text(cpu),
                    ratio("crun"),
                    ratio("runc")
                );
            }
        }
        for (contender, one) in self.names.iter().zip(&self.crowd) {
            let Some(one) = one else { continue };
            println!(
                "{:<22} {contender:<6} {:.1}/s, alone {:.1}/s; for each core {:.2} of alone",
                format!("{} at once", one.crowd),
                one.together,
                one.alone,
                one.per_core / one.alone
            );
        }
        for (name, values) in [("peak RSS of run", &self.peak), ("smallest limit", &self.limit)] {
            for (contender, value) in self.names.iter().zip(values) {
                if let Some(value) = value {
                    println!("{name:<22} {contender:<6} {value} KiB");
                }
            }
        }
    }

    /// Prints it for programs.
    pub(crate) fn print_json(&self) {
        let spread = |one: Option<Spread>| {
            one.map(|one| json!({ "min": one.min, "median": one.median, "max": one.max }))
        };
        let commands: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, costs)| {
                let of = |(contender, own): (&&str, &Costs)| {
                    json!({
                        "contender": contender,
                        "wallMs": spread(wall(own)),
                        "cpuMs": spread(cpu(own)),
                        "ofCrun": self.ratios(own, costs, "crun"),
                        "ofRunc": self.ratios(own, costs, "runc"),
                    })
                };
                json!({ "command": name, "costs": self.names.iter().zip(costs).map(of).collect::<Vec<_>>() })
            })
            .collect();
        let others: Vec<Value> = self
            .names
            .iter()
            .enumerate()
            .map(|(at, contender)| {
                let crowd = self.crowd.get(at).copied().flatten();
                json!({
                    "contender": contender,
                    "perSecondAlone": crowd.map(|one| one.alone),
                    "perSecondTogether": crowd.map(|one| one.together),
                    "perSecondTogetherPerCore": crowd.map(|one| one.per_core),
                    "peakRssKiB": self.peak.get(at),
                    "smallestLimitKiB": self.limit.get(at),
                })
            })
            .collect();
        println!("{:#}", json!({ "commands": commands, "contenders": others }));
    }

    /// The medians of wall and CPU time as parts of those of `peer`.
    fn ratios(&self, own: &[Cost], all: &[Costs], peer: &str) -> Option<(f64, f64)> {
        let theirs = all.get(self.names.iter().position(|name| *name == peer)?)?;
        let part = |own: Option<Spread>, theirs: Option<Spread>| Some(own?.median / theirs?.median);
        Some((part(wall(own), wall(theirs))?, part(cpu(own), cpu(theirs))?))
    }
}

fn wall(costs: &[Cost]) -> Option<Spread> {
    Spread::of(costs, |cost| cost.wall)
}

fn cpu(costs: &[Cost]) -> Option<Spread> {
    Spread::of(costs, |cost| cost.cpu)
}

fn text(Spread { min, median, max }: Spread) -> String {
    format!("{min:.2} {median:.2} {max:.2}")
}

//! The verdicts on all cases, as a table.

use core::fmt::{self, Display};
use std::collections::BTreeMap;

/// The outcome of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The expected answer.
    Passed,
    /// An intended difference from the expectation. States both answers and the reason.
    Differs(String),
    /// Not supported, for this reason.
    NoMeaning(String),
    /// The expected and the actual answer.
    Failed(String),
}

/// Operation, identifier and verdict of each case, in the order of the file.
#[derive(Debug, Default)]
pub struct Table(pub Vec<(String, String, Verdict)>);

impl Table {
    /// Identifiers of the cases that failed.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.0.iter().filter(|(.., verdict)| matches!(verdict, Verdict::Failed(_)));
        failed.map(|(_, id, _)| id.as_str()).collect()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        let mut reasons = [const { Vec::new() }; 4];
        for (op, id, verdict) in &self.0 {
            let (kind, why) = match verdict {
                Verdict::Passed => (0, ""),
                Verdict::Differs(why) => (1, why.as_str()),
                Verdict::NoMeaning(why) => (2, why.as_str()),
                Verdict::Failed(why) => (3, why.as_str()),
            };
            for row in [op, "~ all"] {
                counts.entry(row).or_default()[kind] += 1;
            }
            reasons[kind].push(format!("  {id}: {why}\n"));
        }
        writeln!(f, "{:<28} passed  differs by design  no meaning here  failed", "operation")?;
        for (op, [passed, differs, meaningless, failed]) in counts {
            writeln!(f, "{op:<28} {passed:>6} {differs:>18} {meaningless:>16} {failed:>7}")?;
        }
        let [_, differs, meaningless, failed] = reasons.map(|reasons| reasons.concat());
        write!(f, "\ndiffers by design:\n{differs}\nno meaning here:\n{meaningless}\nfailed:\n{failed}")
    }
}

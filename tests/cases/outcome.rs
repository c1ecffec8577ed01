//! The outcome of each case, and a table of all outcomes.

use core::fmt::{self, Display};
use std::collections::BTreeMap;

/// The outcome of one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The expected answer.
    Passed,
    /// An intended difference from the expectation. States both answers and the reason.
    Differs(String),
    /// Not supported, for this reason.
    NoMeaning(String),
    /// The expected and the actual answer.
    Failed(String),
}

/// Verdicts by operation and case.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// In the order of the file.
    cases: Vec<(String, String, Verdict)>,
}

impl Table {
    pub(crate) fn add(&mut self, op: &str, id: &str, verdict: Verdict) {
        self.cases.push((op.to_owned(), id.to_owned(), verdict));
    }

    /// Identifiers of the cases that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let failed = self.cases.iter().filter(|(_, _, verdict)| matches!(verdict, Verdict::Failed(_)));
        failed.map(|(_, id, _)| id.as_str()).collect()
    }

    /// In the order of the file.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.cases.iter().map(|(_, _, verdict)| verdict)
    }

    fn counts<'a>(cases: impl Iterator<Item = &'a Verdict>) -> [usize; 4] {
        let mut counts = [0; 4];
        for verdict in cases {
            counts[match verdict {
                Verdict::Passed => 0,
                Verdict::Differs(_) => 1,
                Verdict::NoMeaning(_) => 2,
                Verdict::Failed(_) => 3,
            }] += 1;
        }
        counts
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_op: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
        for (op, _, verdict) in &self.cases {
            by_op.entry(op).or_default().push(verdict);
        }
        writeln!(
            f,
            "{:<28} {:>7} {:>17} {:>15} {:>7}",
            "operation", "passed", "differs by design", "no meaning here", "failed"
        )?;
        for (op, verdicts) in by_op {
            let [passed, differs, meaningless, failed] = Self::counts(verdicts.into_iter());
            writeln!(f, "{op:<28} {passed:>7} {differs:>17} {meaningless:>15} {failed:>7}")?;
        }
        let [passed, differs, meaningless, failed] = Self::counts(self.verdicts());
        writeln!(
            f,
            "{} cases: {passed} passed, {differs} differ by design, {meaningless} without meaning here, {failed} failed",
            self.cases.len()
        )?;
        let listed = |verdict: &Verdict| match verdict {
            Verdict::Passed => None,
            Verdict::Differs(why) => Some((0, why.clone())),
            Verdict::NoMeaning(why) => Some((1, why.clone())),
            Verdict::Failed(why) => Some((2, why.clone())),
        };
        for (kind, title) in ["differ by design", "without meaning here", "failed"].into_iter().enumerate() {
            let cases: Vec<_> = self
                .cases
                .iter()
                .filter_map(|(_, id, verdict)| {
                    listed(verdict).filter(|(found, _)| *found == kind).map(|(_, why)| (id, why))
                })
                .collect();
            if !cases.is_empty() {
                writeln!(f, "\n{title}:")?;
                cases.into_iter().try_for_each(|(id, why)| writeln!(f, "  {id}: {why}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_by_operation_and_names_what_did_not_pass() {
        let mut table = Table::default();
        table.add("sum", "a", Verdict::Passed);
        table.add("sum", "b", Verdict::Failed("expected 1, found 2".to_owned()));
        table.add("mean", "c", Verdict::Differs("wraps there".to_owned()));
        table.add("mean", "d", Verdict::NoMeaning("no such thing".to_owned()));
        assert_eq!(table.failed(), ["b"]);
        let text = table.to_string();
        for line in [
            "sum                                1                 0               0       1",
            "mean                               0                 1               1       0",
            "4 cases: 1 passed, 1 differ by design, 1 without meaning here, 1 failed",
            "  b: expected 1, found 2",
            "  c: wraps there",
            "  d: no such thing",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

//! `federated_aggregate` of values that arrive in the clear: one accumulation, linear or as a tree.

use std::sync::Arc;

use super::wire::Wire;
use crate::federated::{
    Result,
    computation::erased::{Erased, own},
};

/// An operation that takes values to the server in the clear, with their types erased.
pub(in crate::federated::computation) trait PlainOperation:
    Send + Sync
{
    fn name(&self) -> &'static str;
    fn wire(&self) -> Wire;
    fn start(&self, max_fanout: Option<usize>) -> Box<dyn Accumulation>;
}

/// An accumulation in progress. Values arrive in the clients' order.
pub(in crate::federated::computation) trait Accumulation: Send {
    fn push(&mut self, value: Erased) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<Erased>;
}

/// Values of type `T`, accumulated in an `A`, with a result of type `R`.
pub(in crate::federated::computation) struct FederatedAggregate<T, A, R> {
    pub(in crate::federated::computation) name: &'static str,
    pub(in crate::federated::computation) wire: Wire,
    pub(in crate::federated::computation) steps: Arc<Steps<T, A, R>>,
}

/// The steps of `federated_aggregate`: for one value, for two accumulators, and for the last
/// accumulator.
pub(in crate::federated::computation) struct Steps<T, A, R> {
    pub(in crate::federated::computation) zero: Box<dyn Fn() -> A + Send + Sync>,
    pub(in crate::federated::computation) accumulate: Box<dyn Fn(A, T) -> Result<A> + Send + Sync>,
    pub(in crate::federated::computation) merge: Box<dyn Fn(A, A) -> Result<A> + Send + Sync>,
    pub(in crate::federated::computation) report: Box<dyn Fn(A) -> Result<R> + Send + Sync>,
}

impl<T, A, R> PlainOperation for FederatedAggregate<T, A, R>
where
    T: Send + Sync + 'static,
    A: Send + 'static,
    R: Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn wire(&self) -> Wire {
        self.wire
    }

    fn start(&self, max_fanout: Option<usize>) -> Box<dyn Accumulation> {
        Box::new(Tree { steps: Arc::clone(&self.steps), max_fanout, group: None, levels: Vec::new() })
    }
}

/// A tree of accumulators. Only the path to the newest leaf is kept.
///
/// The first `max_fanout` values are accumulated in one group, the next in another. The same number
/// of groups is merged into a group of the next level, and so on. Without a limit there is one
/// group, and nothing is merged. Shape and order depend only on the number of values, so sums of
/// floats are the same in every run.
struct Tree<T, A, R> {
    steps: Arc<Steps<T, A, R>>,
    max_fanout: Option<usize>,
    /// Values accumulated so far, and their number.
    group: Option<(A, usize)>,
    /// The same for groups of groups. A level is `None` right after it was full.
    levels: Vec<Option<(A, usize)>>,
}

impl<T, A, R> Tree<T, A, R> {
    fn is_full(&self, count: usize) -> bool {
        self.max_fanout.is_some_and(|most| count >= most)
    }

    /// Adds a complete group to the first level, and full levels to the next ones.
    fn carry(&mut self, mut group: A) -> Result<()> {
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(None);
            }
            let (merged, count) = match self.levels[level].take() {
                None => (group, 1),
                Some((merged, count)) => ((self.steps.merge)(merged, group)?, count + 1),
            };
            if !self.is_full(count) {
                self.levels[level] = Some((merged, count));
                break;
            }
            group = merged;
        }
        Ok(())
    }
}

impl<T: Send + Sync + 'static, A: Send + 'static, R: Send + Sync + 'static> Accumulation for Tree<T, A, R> {
    fn push(&mut self, value: Erased) -> Result<()> {
        let (group, count) = self.group.take().unwrap_or_else(|| ((self.steps.zero)(), 0));
        let group = (self.steps.accumulate)(group, own(value))?;
        if self.is_full(count + 1) {
            self.carry(group)
        } else {
            self.group = Some((group, count + 1));
            Ok(())
        }
    }

    fn finish(self: Box<Self>) -> Result<Erased> {
        // Incomplete groups move up unchanged: the newer one, from below, comes second.
        let mut rest = self.group.map(|(group, _)| group);
        for (group, _) in self.levels.into_iter().flatten() {
            rest = Some(match rest {
                None => group,
                Some(newer) => (self.steps.merge)(group, newer)?,
            });
        }
        let root = rest.unwrap_or_else(|| (self.steps.zero)());
        Ok(Arc::new((self.steps.report)(root)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::computation::erased::reveal;

    /// Writes the tree as text: the values of a group in order, merged groups in parentheses.
    fn tree(values: u32, max_fanout: Option<usize>) -> String {
        let steps = Steps {
            zero: Box::new(String::new),
            accumulate: Box::new(|group: String, value: u32| Ok(format!("{group}{value}"))),
            merge: Box::new(|a, b| Ok(format!("({a} {b})"))),
            report: Box::new(|root: String| Ok(root)),
        };
        let aggregate = FederatedAggregate { name: "tree", wire: Wire::of::<u32>(), steps: Arc::new(steps) };
        let mut accumulation = aggregate.start(max_fanout);
        for value in 0..values {
            accumulation.push(Arc::new(value)).unwrap();
        }
        reveal::<String>(&accumulation.finish().unwrap()).clone()
    }

    #[test]
    fn without_a_limit_there_is_one_group() {
        assert_eq!(tree(0, None), "");
        assert_eq!(tree(9, None), "012345678");
    }

    #[test]
    fn groups_merge_in_the_clients_order() {
        for (values, expected) in [
            (0, ""),
            (1, "0"),
            (2, "01"),
            (3, "(01 2)"),
            (4, "(01 23)"),
            (5, "((01 23) 4)"),
            (7, "((01 23) (45 6))"),
            (8, "((01 23) (45 67))"),
            (9, "(((01 23) (45 67)) 8)"),
        ] {
            assert_eq!(tree(values, Some(2)), expected, "{values} values");
        }
        assert_eq!(tree(9, Some(3)), "((012 345) 678)");
        assert_eq!(tree(4, Some(100)), "0123");
    }
}

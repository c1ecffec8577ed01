//! Commands that only read: the audit of a session, the state of its rounds, and the costs of a
//! planned round.

mod audit;
mod plan;
mod status;

pub use audit::{Finding, Report, audit};
pub use plan::{Arithmetic, Plan, PlannedRound, plan};
pub use status::{RoundStatus, Status, status};

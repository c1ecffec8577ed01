//! Evaluation of a computation on a [`LocalExecutor`](crate::federated::LocalExecutor).

mod client;
mod evaluate;
mod transport;

pub(in crate::federated) use self::evaluate::ServerView;

//! Refusals of requests by the board.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use cipherfold::federated::Party;
use serde_json::json;

use crate::{
    error::Error,
    parties::label,
    store::{self, Quota},
};

/// A refusal. Each kind has its own name in answers, metrics and logs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this is not the name of an object")]
    Name,
    #[error("{}", .0)]
    Query(&'static str),
    #[error("only the {} writes this object", label(*.writer))]
    Writer { writer: Party },
    #[error("there is no such object")]
    Missing,
    #[error("the store has no such session, or no such round in it")]
    Undeclared,
    #[error("the object exists with other contents")]
    Conflict,
    #[error("the round is over")]
    RoundOver,
    #[error("the request does not say how long the object is")]
    Length,
    #[error("at most {limit} bytes are possible, the request has {found}")]
    TooLong { limit: u64, found: u64 },
    #[error("the body has {found} bytes, announced were {announced}")]
    Cut { announced: u64, found: u64 },
    #[error("the round has shards 0 to {last}")]
    Shard { last: u32 },
    #[error("a client has {limit} attempts in a round")]
    Quota { limit: u32 },
    #[error("the store is full{}", .0.map(|quota| format!(": {quota}")).unwrap_or_default())]
    Full(Option<Quota>),
    #[error("only the {} removes objects", label(*.remover))]
    Remover { remover: Party },
    #[error("only contributions and sums are removed: the objects which a party has signed stay")]
    Signed,
    #[error("the server has not signed that this round is removed")]
    Kept,
    #[error("{0}")]
    Object(String),
    #[error("this range is not in the object")]
    Range,
    #[error("the board is busy; try again later")]
    Busy,
    #[error("the body came too slowly")]
    Slow,
    #[error("the store cannot be reached")]
    Store,
}

impl Refusal {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Query(_) => "query",
            Self::Writer { .. } => "writer",
            Self::Missing => "missing",
            Self::Undeclared => "undeclared",
            Self::Conflict => "conflict",
            Self::RoundOver => "round_over",
            Self::Length => "length",
            Self::TooLong { .. } => "too_long",
            Self::Cut { .. } => "cut",
            Self::Shard { .. } => "shard",
            Self::Quota { .. } => "quota",
            Self::Full(_) => "full",
            Self::Remover { .. } => "remover",
            Self::Signed => "signed",
            Self::Kept => "kept",
            Self::Object(_) => "object",
            Self::Range => "range",
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Store => "store",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Name | Self::Query(_) | Self::Cut { .. } | Self::Shard { .. } => StatusCode::BAD_REQUEST,
            Self::Writer { .. } | Self::Remover { .. } | Self::Signed | Self::Quota { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Undeclared => StatusCode::FAILED_DEPENDENCY,
            Self::Conflict | Self::Kept => StatusCode::CONFLICT,
            Self::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::RoundOver => StatusCode::GONE,
            Self::Length => StatusCode::LENGTH_REQUIRED,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Object(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Range => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Store => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.to_string(), "kind": self.kind() });
        if let Self::Full(Some(quota)) = self {
            body["quota"] = json!(quota);
        }
        let mut response = (self.status(), body.to_string()).into_response();
        if matches!(self, Self::Busy | Self::Store) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict { .. } => Self::Conflict,
            store::Error::TooLong { limit, found, .. } => Self::TooLong { limit, found },
            store::Error::Full { quota, .. } => {
                tracing::error!(%error, "the store is full");
                Self::Full(quota)
            }
            store::Error::Address { .. }
            | store::Error::Unreachable { .. }
            | store::Error::Refused { .. } => {
                // The reason is only for the board's own log, because it may have paths of this
                // machine.
                tracing::error!(%error, "the store failed");
                Self::Store
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NoSession { .. } | Error::NoRound { .. } => Self::Undeclared,
            error => Self::Object(error.to_string()),
        }
    }
}

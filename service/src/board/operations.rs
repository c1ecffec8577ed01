//! Health, metrics and the status page, for the board's own machine.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};

use super::{page, shared::Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(status_page))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// Whether the store can be read.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let looked = tokio::task::spawn_blocking(move || shared.store.folders("")).await;
    if let Ok(Ok(_)) = looked {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n").into_response()
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    if let Some((stored, _)) = shared.space.usage() {
        shared.metrics.stored.set(i64::try_from(stored).unwrap_or(i64::MAX));
    }
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, format)], shared.metrics.text()).into_response()
}

async fn status_page(State(shared): State<Arc<Shared>>) -> Response {
    let drawn = tokio::task::spawn_blocking(move || page::draw(&shared)).await;
    match drawn {
        Ok(Ok(html)) => {
            let headers = [
                (CACHE_CONTROL, "no-store"),
                (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
            ];
            (headers, Html(html)).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n").into_response(),
    }
}

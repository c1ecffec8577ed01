//! Connections over TLS, each of one party. They end gracefully when the board stops.

use std::{sync::Arc, time::Duration};

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{api, shared::Shared};
use crate::parties::label;

/// Time for a handshake. When a thousand clients begin at the same time, one may take ten seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes that a connection buffers. There may be thousands of connections.
const BUFFER: usize = 32 << 10;

/// Time for running requests when the board stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn serve(
    shared: &Arc<Shared>,
    config: Arc<rustls::ServerConfig>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(config);
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // For example too many open files. Other connections may close.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
            tracing::warn!("too many connections: one is closed");
            continue;
        };
        let (shared, acceptor, watcher) = (Arc::clone(shared), acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            shared.metrics.connections.inc();
            connection(&shared, acceptor, stream, watcher).await;
            shared.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(listener);
    tracing::info!("stopping: no new connections");
    if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were under way for too long, and are cut off");
    }
}

async fn connection(shared: &Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream, watcher: Watcher) {
    let _ = stream.set_nodelay(true);
    let stream: TlsStream<TcpStream> = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            shared.metrics.handshakes_failed.inc();
            tracing::info!(%error, "a handshake failed");
            return;
        }
        Err(_) => {
            shared.metrics.handshakes_failed.inc();
            tracing::info!("a handshake took too long");
            return;
        }
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(party) = certificate.and_then(|found| crate::parties::tls::party(&shared.consortium, found))
    else {
        return;
    };
    tracing::debug!(party = label(party), "connected");
    let service = api::router(Arc::clone(shared)).layer(Extension(party));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(party = label(party), %error, "a connection ended");
    }
}

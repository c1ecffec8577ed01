//! A board that runs in this process.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use cipherfold_service::{
    Home, Store,
    board::{Board, Setting, client_config},
};
use rustls::{ClientConnection, StreamOwned};
use tokio::sync::oneshot;

use super::World;

/// A board in its own thread, over the test's store.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) operations: SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(world: &World, change: impl FnOnce(&mut Setting)) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut setting = Setting { operations: Some(loopback), ..Setting::new(loopback) };
        change(&mut setting);
        let home = Home::open(world.aggregator.directory()).unwrap();
        let (store, (send, receive)) = (world.store.clone(), oneshot::channel());
        let (bound, addresses) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let board = Board::bind(&home, store, &setting).await.unwrap();
                bound.send((board.address().unwrap(), board.operations_address().unwrap().unwrap())).unwrap();
                board.serve(async { drop(receive.await) }).await;
            });
        });
        let (address, operations) = addresses.recv().unwrap();
        Self { address, operations, stop: Some(send), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn store(&self, home: &Home) -> Store {
        Store::open_as(home, &self.url()).unwrap()
    }

    /// A connection of a party, for requests that the program itself would not send.
    pub(crate) fn connect(&self, world: &World, home: &Home) -> StreamOwned<ClientConnection, TcpStream> {
        let config = client_config(home, &world.consortium).unwrap();
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// Status and body of a request.
    pub(crate) fn raw(&self, world: &World, home: &Home, request: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect(world, home);
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.write_all(body);
        answer(&mut stream)
    }

    pub(crate) fn operations(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.operations).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.stop();
        }
    }
}

/// Status and text of an answer.
pub(crate) fn answer(stream: &mut impl Read) -> (u16, String) {
    let mut text = Vec::new();
    // The other end may close without a TLS close_notify. The received bytes are the answer.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {text}")), text)
}

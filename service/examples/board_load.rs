//! Measures a board's rate of uploads, and its memory.
//!
//! ```text
//! cargo build --release -p cipherfold-service
//! cargo run --release -p cipherfold-service --example board_load -- --board target/release/cipherfold
//! ```
//!
//! Starts the given board over a directory, and has clients upload the parts of a declared round at
//! the same time: random bytes, since the board cannot distinguish them from encrypted ones. Then
//! the same bytes pass twice more through the same TLS: to threads that write them to files and
//! sync those, which is a plain copy, and to threads that throw them away, which is an upper bound
//! for any board on this machine. (A first plain copy, before all of that, does not count.) The
//! clients are the same in all three, and as simple as possible: they write HTTP by themselves. The
//! last lines have the ratios, by the clock and by the processor time of both ends together, and
//! the largest resident memory of the board's process. On a machine that does other work too,
//! compare processor time.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cipherfold::{backend::BackendChoice, federated::Party, files::UpdateFile};
use cipherfold_service::{
    Consortium, Home, Store,
    board::{client_config, server_config},
    objects::RoundKey,
    parties::label,
    progress::Silent,
    roles::{self, NewSession},
    round::{Declaration, OpenRound, OpenSession, unix_time},
};
use clap::Parser;
use rand_core::{Rng, UnwrapErr};
use rustls::{ClientConnection, ServerConnection, StreamOwned};

/// Measures a board's rate of uploads, and its memory.
#[derive(Parser)]
struct Args {
    /// The program with the board
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Clients that upload at the same time
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Values of an update
    #[arg(long, default_value_t = 1_000_000)]
    values: usize,
    /// Updates that each client uploads, one after the other, each in a separate round
    #[arg(long, default_value_t = 4)]
    rounds: u64,
    /// Directory for objects [default: a temporary directory]
    #[arg(long)]
    directory: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let folder = match &args.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let home = |party| {
        Home::create(
            &folder.path().join(label(party)),
            &label(party),
            party,
            &mut UnwrapErr(getrandom::SysRng),
        )
    };
    let (server, aggregator) = (home(Party::Server)?, home(Party::Aggregator)?);
    let clients =
        (0..args.clients).map(|client| home(Party::Client(client))).collect::<Result<Vec<_>, _>>()?;
    let homes = || [&server, &aggregator].into_iter().chain(&clients);
    let consortium = Consortium::new("load".into(), homes().map(Home::member).collect())?;
    // The board is a separate process.
    aggregator.pin(&consortium.to_toml(), consortium.digest())?;
    homes().try_for_each(|home| home.adopt(&consortium))?;
    let directory = folder.path().join("store").display().to_string();
    let rounds = declare(&args, &server, &Store::open(&directory)?, &folder.path().join("model"))?;

    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let board = start(&args.board, &aggregator, &directory, address)?;
    let parts = parts(&rounds[0]);
    let total =
        parts.iter().map(|part| part.len() as u64).sum::<u64>() * u64::from(args.clients) * args.rounds;

    let copies = folder.path().join("copies");
    let send = |folder| copy(&clients, &aggregator, &consortium, &parts, args.rounds, folder);
    let plain_copy = || -> Result<Time, Failure> {
        std::fs::create_dir(&copies)?;
        let taken = time(&[std::process::id()], || send(Some(&copies)))?;
        std::fs::remove_dir_all(&copies)?;
        Ok(taken)
    };
    // The first writes take longer, because they use memory that the machine has not used before.
    plain_copy()?;
    let processes = [std::process::id(), board.0.id()];
    let taken = time(&processes, || upload(&clients, &consortium, &rounds, &parts, address))?;
    let peak = peak_memory(&board.0)?;
    drop(board);
    std::fs::remove_dir_all(&directory)?;
    let plain = plain_copy()?;
    let thrown_away = time(&processes[..1], || send(None))?;
    let rate = |time: Time| {
        f64::from(u32::try_from(total / 1_000_000).unwrap_or(u32::MAX)) / time.clock.as_secs_f64()
    };
    println!(
        "{} clients, {} MB: board {:.0} MB/s, plain copy {:.0} MB/s, bytes thrown away {:.0} MB/s",
        args.clients,
        total / 1_000_000,
        rate(taken),
        rate(plain),
        rate(thrown_away)
    );
    let ratio = |of: Duration, taken: Duration| of.as_secs_f64() / taken.as_secs_f64();
    println!(
        "by the clock: board / plain copy {:.2}, board / bytes thrown away {:.2}",
        ratio(plain.clock, taken.clock),
        ratio(thrown_away.clock, taken.clock)
    );
    println!(
        "by processor time ({:.1} s, {:.1} s, {:.1} s): board / plain copy {:.2}, board / bytes thrown away {:.2}",
        taken.processor.as_secs_f64(),
        plain.processor.as_secs_f64(),
        thrown_away.processor.as_secs_f64(),
        ratio(plain.processor, taken.processor),
        ratio(thrown_away.processor, taken.processor)
    );
    println!("resident memory of the board: {peak}");
    Ok(())
}

#[derive(Clone, Copy)]
struct Time {
    clock: Duration,
    /// Of all processes together.
    processor: Duration,
}

/// The time of some work that these processes share.
fn time(processes: &[u32], work: impl FnOnce() -> Result<(), Failure>) -> Result<Time, Failure> {
    let total = || processes.iter().map(|process| processor_time(*process)).sum::<Result<Duration, _>>();
    let (begin, before) = (Instant::now(), total()?);
    work()?;
    Ok(Time { clock: begin.elapsed(), processor: total()?.saturating_sub(before) })
}

/// The processor time of a process, which Linux reports in hundredths of a second.
fn processor_time(process: u32) -> Result<Duration, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = status.rsplit_once(')').ok_or("no end of the name")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

fn declare(args: &Args, server: &Home, store: &Store, model: &PathBuf) -> Result<Vec<OpenRound>, Failure> {
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#,
        args.values,
        4 * args.values
    );
    let bytes =
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; 4 * args.values]].concat();
    std::fs::write(model, bytes)?;
    let new = NewSession { key_bits: 2048, min_clients: 2, backend: BackendChoice::Auto };
    let session = roles::new_session(server, store, new, &Silent)?;
    let session = OpenSession::find(store, &server.consortium()?, Some(session))?;
    let model = UpdateFile::open(model)?;
    let open = |round| {
        let declaration = Declaration {
            round,
            clip: 1.0,
            bits: 16,
            max_weight: None,
            max_clients: args.clients.max(2),
            min_clients: 2,
            chunk_ciphertexts: 512,
            shards: None,
            deadline: unix_time() + 3600,
        };
        Ok(roles::open_round(server, &session, &declaration, &model, BackendChoice::Auto)?)
    };
    (0..args.rounds).map(open).collect()
}

/// A process that does not outlive this one, even if this one fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &PathBuf, home: &Home, store: &str, address: SocketAddr) -> Result<Running, Failure> {
    let board = Command::new(program)
        .args(["board", "--quiet", "--store", store, "--listen", &address.to_string(), "--home"])
        .arg(home.directory())
        .env("RUST_LOG", "off")
        .spawn()?;
    let board = Running(board);
    while TcpStream::connect(address).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(board)
}

/// Random bytes as long as the parts of an update may be.
fn parts(round: &OpenRound) -> Vec<Bytes> {
    let part = |shard| {
        let mut part = vec![0; usize::try_from(round.part_limit(shard)).expect("parts of some megabytes")];
        UnwrapErr(getrandom::SysRng).fill_bytes(&mut part);
        part.into()
    };
    (0..round.shards()).map(part).collect()
}

fn upload(
    clients: &[Home],
    consortium: &Consortium,
    rounds: &[OpenRound],
    parts: &[Bytes],
    address: SocketAddr,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let uploads: Vec<_> = (0..)
            .zip(clients)
            .map(|(client, home)| {
                scope.spawn(move || -> Result<(), Failure> {
                    let mut stream = connect(home, consortium, address)?;
                    for round in rounds {
                        for (shard, part) in (0..).zip(parts) {
                            let key = round.key(RoundKey::Part { client, attempt: 1, shard }).to_string();
                            // A board that is too busy refuses before it reads the contents.
                            let mut attempts = 1;
                            while let Err(failure) = put(&mut stream, &key, part) {
                                if attempts == ATTEMPTS {
                                    return Err(failure);
                                }
                                attempts += 1;
                                eprintln!("client {client} tries again: {failure}");
                                thread::sleep(Duration::from_secs(1));
                                stream = connect(home, consortium, address)?;
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        uploads.into_iter().try_for_each(|upload| upload.join().expect("uploads do not panic"))
    })
}

/// How often a client tries to write an object.
const ATTEMPTS: u32 = 10;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A connection of a client: for the board and for the copy the same, so that they differ at the
/// receiver only.
fn connect(home: &Home, consortium: &Consortium, address: SocketAddr) -> Result<Connection, Failure> {
    let config = Arc::new(client_config(home, consortium)?);
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(StreamOwned::new(ClientConnection::new(config, "localhost".try_into()?)?, stream))
}

/// Writes an object to the board, as `PUT` of HTTP.
fn put(stream: &mut Connection, name: &str, contents: &[u8]) -> Result<(), Failure> {
    let length = contents.len();
    write!(stream, "PUT /v1/o/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")?;
    stream.write_all(contents)?;
    stream.flush()?;
    let (mut answer, mut filled) = ([0; 1024], 0);
    while !answer[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut answer[filled..])? {
            0 => return Err("the board ended the connection".into()),
            read => filled += read,
        }
    }
    let answer = String::from_utf8_lossy(&answer[..filled]);
    if answer.starts_with("HTTP/1.1 201 ") { Ok(()) } else { Err(answer.into()) }
}

/// Sends the same bytes over the same number of connections. A thread for each connection writes
/// the parts to files in this folder, or discards them.
fn copy(
    clients: &[Home],
    receiver: &Home,
    consortium: &Consortium,
    parts: &[Bytes],
    times: u64,
    folder: Option<&Path>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, config) = (listener.local_addr()?, server_config(receiver, consortium)?);
    thread::scope(|scope| {
        let sinks = scope.spawn(|| {
            let sink = |number: usize, stream| -> std::io::Result<()> {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a good configuration");
                let mut stream = StreamOwned::new(connection, stream);
                for (part, contents) in (0..times).flat_map(|_| parts).enumerate() {
                    let mut part_of_stream = Read::by_ref(&mut stream).take(contents.len() as u64);
                    if let Some(folder) = folder {
                        let mut file = File::create(folder.join(format!("{number}-{part}")))?;
                        std::io::copy(&mut part_of_stream, &mut BufWriter::with_capacity(BLOCK, &mut file))?;
                        file.sync_all()?;
                    } else {
                        let mut block = vec![0; BLOCK];
                        while part_of_stream.read(&mut block)? > 0 {}
                    }
                }
                // The client has sent everything.
                stream.read(&mut [0]).map(drop)
            };
            thread::scope(|scope| {
                for number in 0..clients.len() {
                    let (stream, _) = listener.accept().expect("connections of this process");
                    scope.spawn(move || sink(number, stream).expect("streams of this process"));
                }
            });
        });
        for home in clients {
            scope.spawn(move || -> Result<(), Failure> {
                let mut stream = connect(home, consortium, address)?;
                for _ in 0..times {
                    parts.iter().try_for_each(|part| stream.write_all(part))?;
                }
                stream.conn.send_close_notify();
                stream.flush()?;
                // Waits until the receiver has read everything, because closing a socket with
                // unread bytes resets the connection.
                while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
                Ok(())
            });
        }
        sinks.join().expect("sinks do not panic");
    });
    Ok(())
}

/// Bytes of one step of a copy.
const BLOCK: usize = 1 << 16;

/// The maximum resident memory of a process, as reported by Linux.
fn peak_memory(process: &Child) -> Result<String, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

//! The execution of each command.

use std::{fmt::Write as _, fs, path::Path, process::ExitCode, time::Duration};

use cipherfold::{federated::round::Rates, files::UpdateFile};
use cipherfold_service::{
    Consortium, Home, Result, Store,
    file_error::FileError,
    inspect,
    parties::label,
    progress::Progress,
    roles::{self, Timeout},
    round::{Declaration, OpenRound, OpenSession, only_session, unix_time},
};
use serde_json::json;

use super::{
    args::{self, Args, At, Command},
    demo,
    output::{Output, bytes, grouped, plural},
};

/// Runs a command.
pub(crate) fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    match &args.command {
        Command::Identity(command) => identity(command, output)?,
        Command::Consortium(command) => consortium(command, output)?,
        Command::Session(args::Session::New { home, store, key_bits, min_clients, backend }) => {
            let home = Home::open(&home.home)?;
            let store = Store::open_as(&home, &store.store)?;
            let new = roles::NewSession {
                key_bits: *key_bits,
                min_clients: *min_clients,
                backend: backend.backend,
            };
            let session = roles::new_session(&home, &store, new, output)?;
            print(output, &json!({ "session": session.to_string() }), format_args!("session {session}"))?;
        }
        Command::Round(args::Round::Open(args)) => open_round(args, output)?,
        Command::Round(args::Round::Remove { home, store, session, round }) => {
            let home = Home::open(&home.home)?;
            let round = find_session(&home, store, session)?.round(Some(*round))?;
            let removal = roles::remove(&home, &round)?;
            let value =
                json!({ "round": round.number(), "objects": removal.objects, "bytes": removal.bytes });
            let text = format_args!(
                "round {}: {} with {} removed",
                round.number(),
                plural(removal.objects, "object"),
                bytes(removal.bytes)
            );
            print(output, &value, text)?;
        }
        Command::Submit(args) => submit(args, output)?,
        Command::Aggregate(args) => aggregate(args, output)?,
        Command::Fold(args) => fold(args, output)?,
        Command::Pull(args) => pull(args, output)?,
        Command::Decrypt(args) => decrypt(args, output)?,
        Command::Status(at) => show_status(at, output)?,
        Command::Plan(args) => show_plan(args, output)?,
        Command::Audit(args) => return run_audit(args, output),
        #[cfg(feature = "board")]
        Command::Board(args) => super::board::run(args, output)?,
        Command::Demo(args) => {
            let setting = demo::Setting {
                directory: args.directory.clone(),
                clients: args.clients,
                key_holder: args.key_holder,
                values: args.values,
                key_bits: args.key_bits,
                backend: args.backend.backend,
            };
            let shown = demo::run(&setting, output)?;
            let text = format_args!(
                "the mean of {} is right: at most {:.1e} off the plain mean, as the grid allows {:.1e}",
                plural(shown.values, "value"),
                shown.largest_error,
                shown.error_bound
            );
            print(output, &shown, text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(output: &Output, value: &impl serde::Serialize, people: impl std::fmt::Display) -> Result<()> {
    output.result(value, people).map_err(FileError::at(Path::new("standard output")))?;
    Ok(())
}

fn read_text(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path).map_err(FileError::at(path))?)
}

fn identity(command: &args::Identity, output: &Output) -> Result<()> {
    let home = match command {
        args::Identity::New { home, name, role } => {
            let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
            let home = Home::create(&home.home, name, *role, rng)?;
            output.note(&format_args!(
                "keys are in {}; the lines below are public, and go into everyone's consortium.toml",
                home.directory().display()
            ));
            home
        }
        args::Identity::Show { home } => Home::open(&home.home)?,
    };
    let member = home.member();
    let hex =
        |key: cipherfold::federated::channel::IdentityKey| base16ct::lower::encode_string(&key.to_bytes());
    let value = json!({
        "name": member.name, "role": label(member.party), "signing": hex(member.signing), "tls": hex(member.tls),
    });
    print(output, &value, member.to_toml().trim_end())
}

fn consortium(command: &args::Consortium, output: &Output) -> Result<()> {
    let consortium = match command {
        args::Consortium::Digest { file } => Consortium::parse(&read_text(file)?)?,
        args::Consortium::Pin { home, file, digest } => {
            Home::open(&home.home)?.pin(&read_text(file)?, *digest)?
        }
    };
    let mut text = format!("{}\n", consortium.name());
    for member in consortium.members() {
        let _ = writeln!(text, "  {:12} {}", label(member.party), member.name);
    }
    let _ = write!(text, "digest {}", consortium.digest());
    let members =
        consortium.members().iter().map(|member| json!({ "role": label(member.party), "name": member.name }));
    let members: Vec<_> = members.collect();
    let value = json!({ "name": consortium.name(), "digest": consortium.digest().to_string(), "organisations": members });
    print(output, &value, text)
}

fn find_session(home: &Home, store: &args::StoreArg, session: &args::SessionArg) -> Result<OpenSession> {
    OpenSession::find(&Store::open_as(home, &store.store)?, &home.consortium()?, session.session)
}

fn find_round(home: &Home, at: &At) -> Result<OpenRound> {
    find_session(home, &at.store, &at.session)?.round(at.round)
}

fn open_round(args: &args::OpenArgs, output: &Output) -> Result<()> {
    let home = Home::open(&args.home.home)?;
    let session = find_session(&home, &args.store, &args.session)?;
    let model = UpdateFile::open(&args.model)?;
    let round = match args.round {
        Some(round) => round,
        None => session.rounds()?.pop().map_or(0, |latest| latest.saturating_add(1)),
    };
    let backend = args.backend.backend;
    let chunk_ciphertexts = match args.chunk {
        Some(chunk) => chunk,
        None => session.encryption_key(backend)?.suggested_chunk_ciphertexts(threads()),
    };
    let declaration = Declaration {
        round,
        clip: args.clip,
        bits: args.bits,
        max_weight: args.max_weight,
        max_clients: args.max_clients.unwrap_or_else(|| session.consortium().clients()),
        min_clients: args.min_clients.unwrap_or_else(|| session.min_clients()),
        chunk_ciphertexts,
        shards: args.shards,
        deadline: unix_time().saturating_add(args.deadline),
    };
    let round = roles::open_round(&home, &session, &declaration, &model, backend)?;
    let costs = round.spec().costs();
    let value = json!({
        "session": session.id().to_string(), "round": round.number(), "deadline": declaration.deadline,
        "shards": round.shards(), "ciphertexts": costs.ciphertexts, "update_bytes": costs.update_bytes,
    });
    let text = format_args!(
        "round {} is open for {} seconds: {} to {} clients, {} an update in {}",
        round.number(),
        args.deadline,
        declaration.min_clients,
        declaration.max_clients,
        bytes(costs.update_bytes),
        plural(round.shards().into(), "object")
    );
    print(output, &value, text)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn timeout(args: &args::TimeoutArg) -> Timeout {
    Timeout::of(Duration::from_secs_f64(args.timeout))
}

fn submit(args: &args::Submit, output: &Output) -> Result<()> {
    let home = Home::open(&args.at.home.home)?;
    let round = find_round(&home, &args.at)?;
    let submission = roles::Submission {
        update: &args.update,
        weight: args.weight,
        allow_clipping: args.allow_clipping,
        short_exponents: args.short_exponents,
        backend: args.backend.backend,
        timeout: timeout(&args.timeout),
    };
    let submitted = roles::submit(&home, &round, submission, output)?;
    if args.wait {
        output.note(&"committed; waiting for the end of the round");
        roles::wait_for_end(&home, &round, timeout(&args.timeout))?;
    }
    let value = json!({
        "round": round.number(), "attempt": submitted.attempt, "bytes": submitted.bytes, "clipped": submitted.clipped,
        "earlier": submitted.earlier, "counted": args.wait,
    });
    let mut text = format!("round {}: committed to {}", round.number(), bytes(submitted.bytes));
    if submitted.earlier {
        text.push_str(", earlier: this file was not read");
    }
    if submitted.clipped > 0 {
        let _ = write!(text, ", {} clipped", plural(submitted.clipped, "value"));
    }
    if args.wait {
        text.push_str("; the update is in the sum");
    }
    print(output, &value, text)
}

fn aggregate(args: &args::Aggregate, output: &Output) -> Result<()> {
    let home = Home::open(&args.at.home.home)?;
    let round = find_round(&home, &args.at)?;
    let aggregation = roles::Aggregation {
        backend: args.backend.backend,
        pause: Duration::from_secs_f64(args.poll),
        timeout: timeout(&args.timeout),
        workers: args.workers,
    };
    let ended = roles::aggregate(&home, &round, aggregation, output)?;
    let refused: Vec<_> =
        ended.refused.iter().map(|r| json!({ "client": r.client, "reason": r.reason.to_string() })).collect();
    let value = json!({
        "round": round.number(), "participants": ended.participants, "refused": refused, "done": ended.done.to_string(),
    });
    let mut text = format!(
        "round {} is done: {} in the sum",
        round.number(),
        plural(ended.participants.len() as u64, "client")
    );
    if !ended.refused.is_empty() {
        let _ = write!(text, ", {} refused", ended.refused.len());
    }
    print(output, &value, text)
}

fn fold(args: &args::Fold, output: &Output) -> Result<()> {
    let home = Home::open(&args.at.home.home)?;
    let round = find_round(&home, &args.at)?;
    let waiting = (args.backend.backend, timeout(&args.timeout));
    let sums = roles::fold_shards(&home, &round, args.shard, waiting, output)?;
    let digests: Vec<_> = sums.iter().map(|sum| sum.digest.to_string()).collect();
    let value = json!({ "round": round.number(), "worker": args.shard.to_string(), "sums": digests });
    let text = format_args!(
        "round {}: worker {} wrote {}",
        round.number(),
        args.shard,
        plural(sums.len() as u64, "sum")
    );
    print(output, &value, text)
}

fn pull(args: &args::Pull, output: &Output) -> Result<()> {
    let home = Home::open(&args.at.home.home)?;
    let round = find_round(&home, &args.at)?;
    let waiting = (args.backend.backend, timeout(&args.timeout));
    let pulled = roles::pull(&home, &round, &args.out, waiting, output)?;
    let value = json!({
        "round": round.number(), "participants": pulled.participants, "total_weight": pulled.total_weight,
        "values": pulled.values, "out": args.out.display().to_string(),
    });
    let text = format_args!(
        "round {}: the mean of {} over {} is in {}",
        round.number(),
        plural(pulled.values, "value"),
        plural(pulled.participants.len() as u64, "client"),
        args.out.display()
    );
    print(output, &value, text)
}

fn decrypt(args: &args::Decrypt, output: &Output) -> Result<()> {
    let home = Home::open(&args.at.home.home)?;
    let backend = args.backend.backend;
    if args.watch {
        let session = find_session(&home, &args.at.store, &args.at.session)?;
        let pause = Duration::from_secs_f64(args.poll);
        match roles::decrypt_all(&home, &session, backend, pause, output)? {}
    }
    let round = find_round(&home, &args.at)?;
    let decrypted = roles::decrypt(&home, &round, (backend, timeout(&args.timeout)), output)?;
    let value = json!({
        "round": round.number(), "ciphertexts": decrypted.ciphertexts, "clients": decrypted.clients,
        "earlier": decrypted.earlier,
    });
    let mut text = format!(
        "round {}: decrypted {} of {}",
        round.number(),
        plural(decrypted.ciphertexts, "masked number"),
        plural(decrypted.clients, "client")
    );
    if decrypted.earlier {
        text.push_str(", earlier");
    }
    print(output, &value, text)
}

fn show_status(at: &At, output: &Output) -> Result<()> {
    let home = Home::open(&at.home.home)?;
    let session = find_session(&home, &at.store, &at.session)?;
    let mut status = inspect::status(&session)?;
    if let Some(number) = at.round {
        status.rounds.retain(|round| round.round == number);
    }
    let mut text = format!(
        "{}, session {}, {} bits, the {} has the key\n",
        status.consortium, status.session, status.key_bits, status.key_owner
    );
    let now = unix_time();
    for round in &status.rounds {
        let _ = write!(
            text,
            "round {}: {}, {} of {} to {} committed, {} in {}",
            round.round,
            round.state,
            round.committed.len(),
            round.min_clients,
            round.max_clients,
            bytes(round.bytes),
            plural(round.objects, "object")
        );
        if round.removed {
            text.push_str(", the rest was removed");
        }
        if round.state == "open" && round.deadline > now {
            let _ = write!(text, ", closes in {} seconds", round.deadline - now);
        }
        if let Some(problem) = &round.problem {
            let _ = write!(text, ": {problem}");
        }
        text.push('\n');
        for (client, reason) in &round.refused {
            let _ = writeln!(text, "  {client} was refused: {reason}");
        }
    }
    print(output, &status, text.trim_end())
}

fn show_plan(args: &args::Plan, output: &Output) -> Result<()> {
    let round = inspect::PlannedRound {
        clients: args.clients,
        values: args.values,
        bits: args.bits,
        key_bits: args.key_bits,
        max_weight: args.max_weight,
        chunk_ciphertexts: args.chunk,
    };
    let rates = args.rates.as_deref().map(|rates| Rates {
        encryptions: rates[0],
        additions: rates[1],
        decryptions: rates[2],
    });
    let found = inspect::plan(round, rates, args.network.map(|gbits| gbits * 1e9))?;
    let mut text = format!(
        "{} an update, {} values in each\n{} an update, {:.2} bytes a value, in {} of about 4 MiB\n{} a round, {} additions\n\
         error of the mean at most {:.1e} for values from -1 to 1",
        plural(found.ciphertexts, "ciphertext"),
        found.values_per_ciphertext,
        bytes(found.update_bytes),
        found.bytes_per_value,
        plural(found.shards, "object"),
        bytes(found.round_bytes),
        grouped(found.additions),
        found.error_bound
    );
    if let Some(seconds) = found.network_seconds {
        let _ = write!(text, "\nnetwork at the store: {seconds:.0} seconds for all updates");
    }
    if let Some(times) = found.arithmetic {
        let _ = write!(
            text,
            "\nat these rates: a client encrypts for {:.0} seconds, the aggregator adds for {:.0}, the server decrypts for {:.0}",
            times.client_seconds, times.aggregator_seconds, times.server_seconds
        );
    }
    print(output, &found, text)
}

fn run_audit(args: &args::Audit, output: &Output) -> Result<ExitCode> {
    let home = args.home.as_deref().map(Home::open).transpose()?;
    let consortium = match (&home, &args.consortium, args.digest) {
        (Some(home), _, _) => home.consortium()?,
        (None, Some(file), Some(digest)) => {
            let consortium = Consortium::parse(&read_text(file)?)?;
            consortium.check_pin(digest)?;
            consortium
        }
        _ => unreachable!("the command line has one or the other"),
    };
    let store = match &home {
        Some(home) => Store::open_as(home, &args.store.store)?,
        None => Store::open(&args.store.store)?,
    };
    let session = match args.session.session {
        Some(session) => session,
        None => only_session(&store)?,
    };
    let aggregator =
        home.as_ref().filter(|home| home.check_party(cipherfold::federated::Party::Aggregator).is_ok());
    let report = inspect::audit(
        &store,
        &consortium,
        session,
        aggregator.map(|home| (home, args.backend.backend)),
        output,
    )?;
    let mut text = format!(
        "session {}: {}, {} in {}",
        report.session,
        plural(report.rounds, "round"),
        plural(report.objects, "object"),
        bytes(report.bytes)
    );
    match aggregator {
        Some(_) => {
            let _ = write!(text, "; {} computed again", plural(report.recomputed, "sum"));
        }
        None => text.push_str("; sums were not computed again: this needs the aggregator's home"),
    }
    if !report.unsigned.is_empty() {
        let _ = write!(
            text,
            "\n{} that nobody has signed, and that are in no sum",
            plural(report.unsigned.len() as u64, "object")
        );
    }
    for finding in &report.findings {
        let _ = write!(text, "\nFAULT {}: {}", finding.object, finding.problem);
    }
    if report.findings.is_empty() {
        text.push_str("\nno faults");
    }
    print(output, &report, text)?;
    Ok(ExitCode::from(if report.findings.is_empty() { 0 } else { 4 }))
}

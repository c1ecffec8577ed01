//! The status page: rounds, who has committed, bytes and refusals. It only shows, has no scripts, and draws itself anew.

use std::fmt::Write;

use super::Shared;
use crate::{
    error::Result,
    key::parse_session,
    roles::unix_time,
    round::OpenSession,
    status::{RoundStatus, status},
};

pub(super) fn draw(shared: &Shared) -> Result<String> {
    let mut html = HEAD.to_owned();
    let _ = write!(html, "<h1>{}</h1>", escape(shared.consortium.name()));
    for name in shared.store.folders("")? {
        let Some(session) = parse_session(&name) else { continue };
        let _ = write!(html, "<h2>Session <code>{session}</code></h2>");
        match OpenSession::find(&shared.store, &shared.consortium, Some(session)) {
            Err(error) => {
                let _ = write!(html, "<p class=bad>{}</p>", escape(&error.to_string()));
            }
            Ok(session) => {
                let status = status(&session)?;
                let _ = write!(
                    html,
                    "<p>{} bits; keys of {}</p>",
                    status.key_bits,
                    escape(&status.announced.join(", "))
                );
                html.push_str(ROUNDS);
                for round in status.rounds.iter().rev().take(SHOWN) {
                    row(&mut html, round);
                }
                html.push_str("</table>");
            }
        }
    }
    html.push_str("<h2>Refused requests and bytes</h2><pre>");
    let counts = shared.metrics.text();
    let shown = ["refusals_total{", "received_bytes_total{", "sent_bytes_total{", "connections "];
    for line in counts.lines().filter(|line| shown.iter().any(|part| line.contains(part))) {
        html.push_str(&escape(line.trim_start_matches("cipherfold_board_")));
        html.push('\n');
    }
    html.push_str("</pre>");
    Ok(html)
}

fn row(html: &mut String, round: &RoundStatus) {
    let left = round.deadline.saturating_sub(unix_time());
    let state = match &round.problem {
        Some(problem) => format!("<span class=bad>{}</span>", escape(problem)),
        None if round.state == "open" => format!("open, {left} s left"),
        None => round.state.to_owned(),
    };
    let refused: Vec<_> =
        round.refused.iter().map(|(client, reason)| format!("{client}: {reason}")).collect();
    let _ = write!(
        html,
        "<tr><td>{}<td>{state}<td>{} of {} to {}<td>{}<td>{}<td>{}<td>{}",
        round.round,
        round.committed.len(),
        round.min_clients,
        round.max_clients,
        escape(&round.committed.join(", ")),
        escape(&refused.join("; ")),
        round.objects,
        round.bytes
    );
}

fn escape(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(character),
        }
    }
    safe
}

/// Rounds of a session on the page: the latest.
const SHOWN: usize = 50;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
<title>cipherfold board</title><style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}\
td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}.bad{color:#b00}</style>";

const ROUNDS: &str = "<table><tr><th>round<th>state<th>committed<th>clients<th>refused<th>objects<th>bytes";

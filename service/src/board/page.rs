//! The status page: rounds, committed clients, bytes, rates and refusals. It has no controls and no
//! scripts, and reloads itself.

use cipherfold::federated::Party;
use indicatif::{DecimalBytes, FormattedDuration};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;

use super::{
    shared::Shared,
    traffic::{PartyTraffic, Rates},
};
use crate::{
    error::Result,
    inspect::{RoundStatus, Status, status},
    objects::parse_session,
    parties::{Consortium, label},
    round::{OpenSession, unix_time},
};

pub(super) fn draw(shared: &Shared) -> Result<String> {
    let mut sessions = Vec::new();
    for name in shared.store.folders("")? {
        let Some(session) = parse_session(&name) else { continue };
        let found = OpenSession::find(&shared.store, &shared.consortium, Some(session));
        sessions.push((session.to_string(), found.and_then(|session| status(&session))));
    }
    let parties = shared.metrics.traffic.of(&shared.consortium, |role| shared.metrics.bytes(role));
    let rates = shared.metrics.traffic.rates(&parties);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="refresh" content=(SECONDS);
                title { (shared.consortium.name()) " · cipherfold board" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (shared.consortium.name()) }
                p.quiet {
                    "Rounds of secure sums on this board. The page reloads every " (SECONDS) " seconds."
                }
                @if sessions.is_empty() { p { "No session yet." } }
                @for (name, session) in &sessions {
                    h2 { "Session " code { (name) } }
                    @match session {
                        Ok(session) => (rounds(session, &shared.consortium)),
                        Err(error) => p.bad { (error) },
                    }
                }
                (traffic(&parties, rates, shared.metrics.connections.get()))
            }
        }
    };
    Ok(page.into_string())
}

fn rounds(session: &Status, consortium: &Consortium) -> Markup {
    html! {
        p { (session.key_bits) "-bit key. Keys announced: " (names(&session.announced, consortium)) "." }
        table {
            thead {
                tr { th { "Round" } th { "State" } th { "Committed" } th { "Clients" } th { "Refused" } th.number { "Size" } }
            }
            tbody {
                @for round in session.rounds.iter().rev().take(MAX_ROUNDS) { (row(round, consortium)) }
                @if session.rounds.is_empty() { tr { td colspan="6" { "No round yet." } } }
            }
        }
    }
}

fn row(round: &RoundStatus, consortium: &Consortium) -> Markup {
    let committed = round.committed.len();
    let left = Duration::from_secs(round.deadline.saturating_sub(unix_time()));
    let size = DecimalBytes(round.bytes).to_string();
    html! {
        tr {
            td { (round.round) }
            td {
                span.{ "state " (round.state) } { (round.state) }
                @if round.state == "open" { br; span.quiet { "closes in " (FormattedDuration(left)) } }
                @if let Some(problem) = &round.problem { br; span.bad { (problem) } }
            }
            td {
                progress max=(round.max_clients) value=(committed) {}
                br;
                (committed) " of " (round.max_clients) ", at least " (round.min_clients)
            }
            td { (names(&round.committed, consortium)) }
            td {
                @for (client, reason) in &round.refused {
                    div.bad { (names(std::slice::from_ref(client), consortium)) ": " (reason) }
                }
            }
            td.number { (size) br; span.quiet { (round.objects) " objects" } }
        }
    }
}

fn traffic(parties: &[PartyTraffic], rates: Rates, connections: i64) -> Markup {
    html! {
        h2 { "Traffic since the board started" }
        p { (connections) " connections; " (rate(rates.received)) " received, " (rate(rates.sent)) " sent" }
        table {
            thead { tr { th { "Party" } th { "Role" } th.number { "Received" } th.number { "Sent" } th { "Refused requests" } } }
            tbody {
                @for party in parties {
                    tr {
                        td { (party.name) }
                        td { (party.role) }
                        td.number { (DecimalBytes(party.received).to_string()) }
                        td.number { (DecimalBytes(party.sent).to_string()) }
                        td {
                            @for (kind, count) in &party.refused { span.bad { (kind) ": " (count) " " } }
                        }
                    }
                }
            }
        }
    }
}

/// Organisations by the labels of their roles.
fn names(labels: &[String], consortium: &Consortium) -> String {
    let name = |wanted: &String| {
        let member = consortium.members().iter().find(|member| label(member.party) == *wanted);
        member.map_or_else(|| wanted.clone(), |member| described(&member.name, member.party))
    };
    labels.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn described(name: &str, party: Party) -> String {
    let role = label(party);
    if name == role { role } else { format!("{name} ({role})") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
fn rate(bytes: f64) -> String {
    format!("{}/s", DecimalBytes(bytes as u64))
}

/// Maximum rounds of a session on the page. The latest ones are shown.
const MAX_ROUNDS: usize = 50;

/// Seconds after which a browser reloads the page.
const SECONDS: u32 = 5;

//! Names of parties in keys, files and arguments: `client-3`, `server`, `aggregator`, `key-holder`.

use cipherfold::federated::Party;

/// The name of a party.
pub fn label(party: Party) -> String {
    match party {
        Party::Client(number) => format!("client-{number}"),
        Party::Server => "server".to_owned(),
        Party::Aggregator => "aggregator".to_owned(),
        Party::KeyHolder => "key-holder".to_owned(),
    }
}

/// The party with this name. Each party has exactly one name: `client-03` is not one.
pub fn from_label(text: &str) -> Option<Party> {
    match text {
        "server" => Some(Party::Server),
        "aggregator" => Some(Party::Aggregator),
        "key-holder" => Some(Party::KeyHolder),
        _ => decimal(text.strip_prefix("client-")?).map(Party::Client),
    }
}

/// A decimal number in its only spelling: digits, without leading zeros.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_one_name() {
        for party in
            [Party::Client(0), Party::Client(u32::MAX), Party::Server, Party::Aggregator, Party::KeyHolder]
        {
            assert_eq!(from_label(&label(party)), Some(party));
        }
        for other in ["", "client-", "client-03", "client-+3", "client-4294967296", "Server", "client-3 "] {
            assert_eq!(from_label(other), None, "{other}");
        }
    }
}

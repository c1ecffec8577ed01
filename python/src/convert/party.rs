//! Names of parties in Python: `"client:3"`, `"aggregator"`, `"server"`, `"key-holder"`.

use cipherfold::federated::Party;

use crate::error::{Own, Result};

/// A party's name in Python.
pub(crate) fn name_of(party: Party) -> String {
    match party {
        Party::Client(number) => format!("client:{number}"),
        Party::Server => "server".to_owned(),
        Party::Aggregator => "aggregator".to_owned(),
        Party::KeyHolder => "key-holder".to_owned(),
    }
}

/// The party with this name.
pub(crate) fn named(name: &str) -> Result<Party> {
    let unknown = || Own::Party { found: name.to_owned() };
    let party = match name {
        "server" => Party::Server,
        "aggregator" => Party::Aggregator,
        "key-holder" => Party::KeyHolder,
        client => {
            let number = client.strip_prefix("client:").and_then(|number| number.parse().ok());
            Party::Client(number.ok_or_else(unknown)?)
        }
    };
    // Each party has one name: no sign, no leading zeros.
    if name_of(party) == name { Ok(party) } else { Err(unknown().into()) }
}

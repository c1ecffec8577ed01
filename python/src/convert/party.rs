//! Conversion of party names from Python.

use cipherfold::federated::Party;

use crate::error::{Own, Result};
pub(crate) use crate::party_name::name_of;

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
    // Each party has exactly one name, so signs and leading zeros are refused.
    if name_of(party) == name { Ok(party) } else { Err(unknown().into()) }
}

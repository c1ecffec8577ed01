//! Names of parties in Python: `"client:3"`, `"aggregator"`, `"server"`, `"key-holder"`.

use cipherfold::federated::Party;

/// A party's name in Python.
pub(crate) fn name_of(party: Party) -> String {
    match party {
        Party::Client(number) => format!("client:{number}"),
        Party::Server => "server".to_owned(),
        Party::Aggregator => "aggregator".to_owned(),
        Party::KeyHolder => "key-holder".to_owned(),
    }
}

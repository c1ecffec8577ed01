//! Errors of the bindings, which the core does not have.

use std::path::PathBuf;

use super::{
    class::Class,
    facts::{Facts, Value, quoted},
};

macro_rules! own {
    ($($(#[$doc:meta])* $class:ident: $variant:ident { $($field:ident: $type:ty),* } $message:expr;)*) => {
        /// An error in a call from Python.
        #[derive(Debug)]
        pub(crate) enum Own {
            $($(#[$doc])* $variant { $($field: $type),* }),*
        }

        impl Own {
            /// The facts for Python.
            pub(super) fn facts(&self) -> Facts {
                match self {
                    $(Self::$variant { $($field),* } => Facts {
                        class: Class::$class,
                        kind: concat!("python.", stringify!($variant)).to_owned(),
                        message: $message,
                        fields: vec![$((stringify!($field), Value::from($field))),*],
                    }),*
                }
            }
        }
    };
}

own!(
    /// An array has an unsupported element type, or an object is not an array.
    DtypeError: Dtype { array: String, found: String, remedy: String }
        format!("array {} is {found}: {remedy}", quoted(array));
    /// The element type of an array differs from the round's declaration.
    DtypeError: OtherDtype { array: String, expected: String, found: String }
        format!("array {} has elements of type {found}, the round declares {expected}", quoted(array));
    /// The shape of an array differs from the round's declaration.
    UpdateError: Shape { array: String, expected: Vec<u64>, found: Vec<u64> }
        format!("array {} has shape {found:?}, the round declares {expected:?}", quoted(array));
    /// The names in an update differ from the round's declaration.
    UpdateError: Names { path: String, missing: Vec<String>, unexpected: Vec<String> }
        format!("the arrays differ from the round's declaration{}: missing {missing:?}, unexpected {unexpected:?}", within(path));
    /// An update has a list, a mapping or an array, and the round declares another of the three.
    UpdateError: Nesting { path: String, expected: String, found: String }
        format!("found a {found}{}, the round declares a {expected}", within(path));
    /// A name in a mapping is not a string.
    UpdateError: NameType { path: String, found: String }
        format!("names must be str{}, found one of type {found}", within(path));
    /// An array was changed between the check and the encryption, and cannot be sent any more.
    UpdateError: Changed { array: String, reason: String }
        format!("array {} was changed while it was encrypted: {reason}", quoted(array));
    /// A plan was made for keys of another length.
    KeyMismatch: PlanKeyBits { planned: u32, found: u32 }
        format!("the round was planned for keys of {planned} bits, and this key has {found}");
    /// An encrypted update was iterated already.
    UpdateError: Spent { messages: u64 }
        format!("the {messages} messages of this update were already taken: encrypt the arrays again, or keep the bytes");
    /// A weight is not an integer, or out of range.
    UpdateError: WeightType { found: String }
        format!("a weight must be an int from 0 to 2**32 - 1, found {found}");
    /// A mapping of codecs lacks a codec, or has an unexpected one.
    ConfigError: Codecs { path: String, missing: Vec<String>, unexpected: Vec<String> }
        format!("codecs do not fit the arrays{}: missing {missing:?}, unexpected {unexpected:?}", within(path));
    /// An object is not a codec.
    ConfigError: CodecType { path: String, found: String }
        format!("a Quantizer, Integers or Modular is expected{}, found {found}", within(path));
    /// A setting is invalid.
    ConfigError: Setting { setting: String, found: String, allowed: String }
        format!("{setting} is {found}: it must be {allowed}");
    /// No party has this name.
    ConfigError: Party { found: String }
        format!("unknown party {}: expected \"client:3\", \"aggregator\", \"server\" or \"key-holder\"", quoted(found));
    /// A channel belongs to another party or another session.
    ConfigError: ChannelParty { expected: String, found: String }
        format!("the channel belongs to {found}, expected {expected}");
    /// A channel and the keys belong to different sessions.
    ConfigError: ChannelSession { expected: String, found: String }
        format!("the channel belongs to session {found}, the keys belong to session {expected}");
    /// A method was called after the end of the round.
    ConfigError: Finished { role: String }
        format!("this {role} has finished its round: make a new one");
    /// A round has no values to send.
    ConfigError: NothingToSum { arrays: u64 }
        format!("{arrays} arrays without elements, and no weights: a round needs at least one value to sum");
    /// A server has not made questions yet.
    ConfigError: NotAsked { role: String }
        format!("this {role} has made no questions yet: call mask(sums) first");
    /// A sum that was made for a server in this process cannot be sent.
    ConfigError: LocalSum { participants: u64 }
        "this sum was made for a server in the same process. To send it, give the aggregator's channel the key of \
         \"server\" before finish()".to_owned();
    /// A file is not a key file of this version.
    ConfigError: KeyFile { path: String, reason: String }
        format!("{path}: {reason}");
    /// A journal cannot be read.
    ConfigError: Journal { path: String, reason: String }
        format!("{path}: {reason}");
    /// A journal belongs to other keys.
    KeyMismatch: JournalKey { path: String, expected: String, found: String }
        format!("{path}: this journal belongs to offer {found}, the keys belong to offer {expected}");
    /// Bytes are not a valid encoding.
    MessageError: Framing { what: String, reason: String }
        format!("not an encoded {what}: {reason}");
    /// A message comes from a client that did not send the earlier messages under the same name.
    MessageError: ClientNumber { name: String, expected: u32, found: u32 }
        format!("a message of client {found} under the name {}, which belongs to client {expected}", quoted(name));
    /// A message is not from a client.
    MessageError: Sender { name: String, found: String }
        format!("a message of the {found} under the name {}: clients' messages are expected", quoted(name));
    /// A client uses two names.
    MessageError: ClientName { client: u32, expected: String, found: String }
        format!("client {client} has the name {}, and a message has the name {}", quoted(expected), quoted(found));
    /// No message has arrived under this name.
    MessageError: UnknownName { name: String }
        format!("no message has arrived under the name {}", quoted(name));
    /// The caller has cancelled the work.
    Cancelled: Cancelled { done: u64, messages: u64 }
        format!("cancelled after {done} of {messages} messages");
    /// A key uses a GPU that another process has opened.
    BackendError: Forked { backend: String, opened_by: u32, process: u32 }
        format!("backend {backend} was opened by process {opened_by}, and does not survive the fork to process {process}: \
                 make or load the key in the new process");
);

/// The place in a nested mapping, unless it is the top.
fn within(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in {}", quoted(path)) }
}

impl From<&PathBuf> for Value {
    fn from(path: &PathBuf) -> Self {
        Self::Text(path.display().to_string())
    }
}

impl From<&Vec<u64>> for Value {
    fn from(numbers: &Vec<u64>) -> Self {
        Self::List(numbers.iter().map(Into::into).collect())
    }
}

//! Errors of the bindings: what the core never sees.

use std::path::PathBuf;

use super::{Class, Facts, Value, quoted};

macro_rules! own {
    ($($(#[$doc:meta])* $class:ident: $variant:ident { $($field:ident: $type:ty),* } $message:expr;)*) => {
        /// Something is wrong with a call from Python.
        #[derive(Debug)]
        pub(crate) enum Own {
            $($(#[$doc])* $variant { $($field: $type),* }),*
        }

        impl Own {
            /// What Python is told.
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
    /// An array has elements that cannot be taken, or is none.
    DtypeError: Dtype { array: String, found: String, remedy: String }
        format!("array {} is {found}: {remedy}", quoted(array));
    /// An array has another element type than its round declares.
    DtypeError: OtherDtype { array: String, expected: String, found: String }
        format!("array {} has elements of type {found}, the round declares {expected}", quoted(array));
    /// An array has another shape than its round declares.
    UpdateError: Shape { array: String, expected: Vec<u64>, found: Vec<u64> }
        format!("array {} has shape {found:?}, the round declares {expected:?}", quoted(array));
    /// An update has other names than its round declares.
    UpdateError: Names { path: String, missing: Vec<String>, unexpected: Vec<String> }
        format!("other arrays than the round declares{}: missing {missing:?}, unexpected {unexpected:?}", within(path));
    /// An update has a list, a mapping or an array where the round declares another one of the
    /// three.
    UpdateError: Nesting { path: String, expected: String, found: String }
        format!("a {found}{} where the round declares a {expected}", within(path));
    /// A name of a mapping is no text.
    UpdateError: NameType { path: String, found: String }
        format!("names must be str{}, found one of type {found}", within(path));
    /// An array was changed between the check and the encryption, so that what is there cannot be
    /// sent.
    UpdateError: Changed { array: String, reason: String }
        format!("array {} was changed while it was encrypted: {reason}", quoted(array));
    /// A plan was made for keys of another length.
    KeyMismatch: PlanKeyBits { planned: u32, found: u32 }
        format!("the round was planned for keys of {planned} bits, and this key has {found}");
    /// An encrypted update was used up.
    UpdateError: Spent { messages: u64 }
        format!("these {messages} messages were made already: encrypt the arrays again, or keep the bytes");
    /// A weight is no integer from zero.
    UpdateError: WeightType { found: String }
        format!("a weight is an int from 0 to 2**32 - 1, found {found}");
    /// A mapping of codecs lacks one, or has one too many.
    ConfigError: Codecs { path: String, missing: Vec<String>, unexpected: Vec<String> }
        format!("codecs do not fit the arrays{}: missing {missing:?}, unexpected {unexpected:?}", within(path));
    /// Something else stands where a codec should.
    ConfigError: CodecType { path: String, found: String }
        format!("a Quantizer, Integers or Modular is expected{}, found {found}", within(path));
    /// A setting is none that there is.
    ConfigError: Setting { setting: String, found: String, allowed: String }
        format!("{setting} is {found}: it must be {allowed}");
    /// A party has no such name.
    ConfigError: Party { found: String }
        format!("no party is called {}: \"client:3\", \"aggregator\", \"server\" and \"key-holder\" are", quoted(found));
    /// A channel is of another party or another session than it is used for.
    ConfigError: ChannelParty { expected: String, found: String }
        format!("the channel is that of {found}, this is {expected}");
    /// A channel was made for another session than that of the keys.
    ConfigError: ChannelSession { expected: String, found: String }
        format!("the channel was made for session {found}, the keys are of session {expected}");
    /// A round was over when something was asked of it.
    ConfigError: Finished { role: String }
        format!("this {role} has finished its round: make another one");
    /// Nothing is to be sent.
    ConfigError: NothingToSum { arrays: u64 }
        format!("{arrays} arrays without elements, and no weights: a round needs something to sum");
    /// A server has asked nobody yet.
    ConfigError: NotAsked { role: String }
        format!("this {role} has asked no questions yet: mask(sums) makes them");
    /// A sum that was closed for a server in this process cannot travel.
    ConfigError: LocalSum { participants: u64 }
        "this sum was closed for a server in the same process. To send it, give the aggregator's channel the key of \
         \"server\" before finish()".to_owned();
    /// A file is no key file, or not one of this version.
    ConfigError: KeyFile { path: String, reason: String }
        format!("{path}: {reason}");
    /// A journal cannot be read.
    ConfigError: Journal { path: String, reason: String }
        format!("{path}: {reason}");
    /// A journal is that of other keys.
    KeyMismatch: JournalKey { path: String, expected: String, found: String }
        format!("{path}: the journal of offer {found}, these are the keys of offer {expected}");
    /// Bytes are not what they should be.
    MessageError: Framing { what: String, reason: String }
        format!("not an encoded {what}: {reason}");
    /// A message is of another client than the others under its name.
    MessageError: ClientNumber { name: String, expected: u32, found: u32 }
        format!("a message of client {found} under the name {}, which is client {expected}", quoted(name));
    /// A message is not from a client.
    MessageError: Sender { name: String, found: String }
        format!("a message of the {found} under the name {}: clients' messages are expected", quoted(name));
    /// A client sends under two names.
    MessageError: ClientName { client: u32, expected: String, found: String }
        format!("client {client} is known as {}, and sends as {}", quoted(expected), quoted(found));
    /// Nothing has come under this name.
    MessageError: UnknownName { name: String }
        format!("nothing has come under the name {}", quoted(name));
    /// The caller has asked for the end.
    Cancelled: Cancelled { done: u64, messages: u64 }
        format!("cancelled after {done} of {messages} messages");
    /// A key works on a GPU that another process has opened.
    BackendError: Forked { backend: String, opened_by: u32, process: u32 }
        format!("backend {backend} was opened by process {opened_by}, and does not survive the fork to process {process}: \
                 make or load the key in the new process");
);

/// Where in a nested mapping, if not at its top.
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

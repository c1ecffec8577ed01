//! The facts of an exception: its class, its kind, its message, and its fields as Python values.

use std::borrow::Cow;

use cipherfold::{
    federated::{
        Digest, Party, PlacementKind, SessionId,
        computation::Leak,
        report::{Absence, AbsenceReason, Report},
        tensor::DType,
    },
    paillier::Fingerprint,
};

use super::class::Class;

/// The facts of an error for Python.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) class: Class,
    /// Layer and variant: `federated.TooFewClients`.
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Facts {
    /// Sets a field unless it exists already.
    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        if self.fields.iter().all(|(known, _)| *known != name) {
            self.fields.push((name, value));
        }
    }
}

/// A name in quotes for a message. Control characters are escaped, because a terminal could execute
/// them.
pub(crate) fn quoted(name: &str) -> String {
    format!("'{}'", name.escape_debug())
}

/// A field's value, in types that Python supports.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Integer(i128),
    Number(f64),
    Truth(bool),
    Text(String),
    List(Vec<Value>),
    Record(Vec<(&'static str, Value)>),
    Error(Box<Facts>),
}

macro_rules! values {
    ($($source:ty: |$value:ident| $made:expr),* $(,)?) => {$(
        impl From<&$source> for Value {
            fn from($value: &$source) -> Self {
                $made
            }
        }
    )*};
}

values!(
    u8: |number| Self::Integer((*number).into()),
    u32: |number| Self::Integer((*number).into()),
    i32: |number| Self::Integer((*number).into()),
    u64: |number| Self::Integer((*number).into()),
    i64: |number| Self::Integer((*number).into()),
    i128: |number| Self::Integer(*number),
    usize: |number| Self::Integer(i128::try_from(*number).unwrap_or(i128::MAX)),
    f64: |number| Self::Number(*number),
    bool: |truth| Self::Truth(*truth),
    String: |text| Self::Text(text.clone()),
    &'static str: |text| Self::Text((*text).to_owned()),
    Cow<'static, str>: |text| Self::Text(text.to_string()),
    Party: |party| Self::Text(crate::party_name::name_of(*party)),
    PlacementKind: |placement| Self::Text(placement.name().replace(' ', "-")),
    SessionId: |session| Self::Text(session.to_string()),
    Digest: |digest| Self::Text(digest.to_string()),
    Fingerprint: |fingerprint| Self::Text(fingerprint.to_string()),
    DType: |dtype| Self::Text(dtype.name().to_owned()),
    AbsenceReason: |reason| Self::Text(reason.to_string()),
    Absence: |absence| Self::Record(vec![
        ("client", (&absence.client).into()),
        ("reason", (&absence.reason).into()),
        ("details", absence.details.as_ref().map_or(Self::None, Into::into)),
    ]),
    Leak: |leak| Self::Text(leak.to_string()),
    Box<Report>: |report| Self::Text(report.to_string()),
    Vec<String>: |texts| Self::List(texts.iter().map(Into::into).collect()),
    Vec<u32>: |numbers| Self::List(numbers.iter().map(Into::into).collect()),
    Vec<Absence>: |absent| Self::List(absent.iter().map(Into::into).collect()),
    Vec<Leak>: |leaks| Self::List(leaks.iter().map(Into::into).collect()),
    &'static [&'static str]: |names| Self::List(names.iter().map(Into::into).collect()),
);

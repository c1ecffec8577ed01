//! Several messages as one byte string.
//!
//! ```text
//! "cfld"  version (1)  kind (1)
//! number of names (4)     for each: client (4)  kind of name (1: 0 none, 1 text)  length (2)  text in UTF-8
//! number of messages (4)  for each: length (4)  bytes
//! ```
//!
//! Numbers are big-endian. Each list of messages has exactly one encoding. A length is checked
//! against the remaining bytes before memory is allocated for it.

use core::ops::Range;

use pyo3::{
    prelude::*,
    types::{PyBytes, PyMemoryView, PyString},
};

use crate::{
    convert::number::Number,
    error::{Own, Result},
};

/// The kind of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Update = 1,
    Sum = 2,
    Questions = 3,
    Answers = 4,
    Aggregator = 5,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Update => "encrypted update",
            Self::Sum => "encrypted sum",
            Self::Questions => "list of questions",
            Self::Answers => "list of answers",
            Self::Aggregator => "aggregator",
        }
    }
}

/// A client's name: its number, or a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Number(u32),
    Text(String),
}

impl<'py> FromPyObject<'_, 'py> for Name {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_str()?;
            if text.is_empty() || text.len() > LONGEST_NAME {
                let (setting, found) = ("name".to_owned(), format!("{} bytes long", text.len()));
                return Err(crate::error::Error::from(Own::Setting {
                    setting,
                    found,
                    allowed: format!("1 to {LONGEST_NAME} bytes long"),
                })
                .into());
            }
            return Ok(Self::Text(text.to_owned()));
        }
        Ok(Self::Number(object.extract::<Number<'_>>()?.u32("name")?))
    }
}

impl Name {
    /// The name as a Python object.
    pub(crate) fn to_python(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        use pyo3::IntoPyObjectExt as _;

        match self {
            Self::Number(number) => number.into_py_any(py),
            Self::Text(text) => text.into_py_any(py),
        }
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Names of clients by their numbers, in ascending order.
pub(crate) type Names = Vec<(u32, Name)>;

/// Messages that Python owns, with names of clients.
pub(crate) struct Frame {
    pub(crate) names: Names,
    messages: Messages,
}

enum Messages {
    Single(Vec<Py<PyBytes>>),
    /// All in one byte string, with the range of each.
    Together {
        data: Py<PyBytes>,
        ranges: Vec<Range<usize>>,
    },
}

impl Frame {
    pub(crate) fn new(messages: Vec<Py<PyBytes>>, names: Names) -> Self {
        Self { names, messages: Messages::Single(messages) }
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        match &self.messages {
            Messages::Single(messages) => messages.len(),
            Messages::Together { ranges, .. } => ranges.len(),
        }
    }

    /// The message at this index, if there is one.
    pub(crate) fn get<'py>(&self, py: Python<'py>, number: usize) -> Option<Bound<'py, PyBytes>> {
        match &self.messages {
            Messages::Single(messages) => Some(messages.get(number)?.bind(py).clone()),
            Messages::Together { data, ranges } => {
                Some(PyBytes::new(py, &data.as_bytes(py)[ranges.get(number)?.clone()]))
            }
        }
    }

    /// All messages, without copies.
    pub(crate) fn slices<'a>(&'a self, py: Python<'a>) -> Vec<&'a [u8]> {
        match &self.messages {
            Messages::Single(messages) => messages.iter().map(|message| message.as_bytes(py)).collect(),
            Messages::Together { data, ranges } => {
                ranges.iter().map(|range| &data.as_bytes(py)[range.clone()]).collect()
            }
        }
    }

    /// Total bytes of all messages.
    pub(crate) fn size(&self, py: Python<'_>) -> u64 {
        self.slices(py).iter().map(|message| message.len() as u64).sum()
    }

    /// The frame as bytes.
    pub(crate) fn to_bytes<'py>(&self, py: Python<'py>, kind: Kind) -> Result<Bound<'py, PyBytes>> {
        let head = head(kind, &self.names)?;
        let messages = self.slices(py);
        let size = head.len() + 4 + messages.iter().map(|message| 4 + message.len()).sum::<usize>();
        let count = length(kind, messages.len())?;
        let lengths =
            messages.iter().map(|message| length(kind, message.len())).collect::<Result<Vec<_>>>()?;
        let bytes = PyBytes::new_with(py, size, |mut rest| {
            let mut put = |part: &[u8]| {
                let (target, tail) = core::mem::take(&mut rest).split_at_mut(part.len());
                target.copy_from_slice(part);
                rest = tail;
            };
            put(&head);
            put(&count);
            for (length, message) in lengths.iter().zip(&messages) {
                put(length);
                put(message);
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads the bytes of [`to_bytes`](Self::to_bytes), from any bytes-like object.
    ///
    /// # Errors
    ///
    /// [`Own::Framing`].
    pub(crate) fn from_bytes(data: &Bound<'_, PyAny>, kind: Kind) -> Result<Self> {
        let data = bytes_of(data)?;
        let (names, ranges) = read(data.as_bytes(), kind)?;
        Ok(Self { names, messages: Messages::Together { data: data.unbind(), ranges } })
    }

    /// The messages of an object: the bytes of a frame, or an iterable of messages.
    pub(crate) fn of(object: &Bound<'_, PyAny>, kind: Kind) -> Result<Self> {
        if is_bytes(object) {
            return Self::from_bytes(object, kind);
        }
        let messages = object.try_iter()?.map(|message| Ok(bytes_of(&message?)?.unbind()));
        Ok(Self::new(messages.collect::<Result<_>>()?, Names::new()))
    }
}

/// Whether an object is bytes-like.
pub(crate) fn is_bytes(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyBytes>() || PyMemoryView::from(object).is_ok()
}

/// The bytes of an object. They are copied unless they are immutable.
pub(crate) fn bytes_of<'py>(object: &Bound<'py, PyAny>) -> Result<Bound<'py, PyBytes>> {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let bytes = PyMemoryView::from(object)?.call_method0("tobytes")?;
    Ok(bytes.cast_into::<PyBytes>().map_err(PyErr::from)?)
}

fn head(kind: Kind, names: &Names) -> Result<Vec<u8>> {
    let mut head = MAGIC.to_vec();
    head.extend([VERSION, kind as u8]);
    head.extend(length(kind, names.len())?);
    for (client, name) in names {
        head.extend(client.to_be_bytes());
        match name {
            // The number alone.
            Name::Number(_) => head.extend([0, 0, 0]),
            Name::Text(text) => {
                head.push(1);
                head.extend(u16::try_from(text.len()).expect("names are short").to_be_bytes());
                head.extend(text.as_bytes());
            }
        }
    }
    Ok(head)
}

fn length(kind: Kind, found: usize) -> Result<[u8; 4]> {
    let too_long = |_| Own::Framing {
        what: kind.name().to_owned(),
        reason: format!("{found} bytes or messages: the maximum is 2**32 - 1"),
    };
    Ok(u32::try_from(found).map_err(too_long)?.to_be_bytes())
}

/// The names, and the ranges of the messages.
fn read(data: &[u8], kind: Kind) -> Result<(Names, Vec<Range<usize>>)> {
    let mut reader = Reader { data, position: 0, kind };
    let [a, b, c, d, version, found] = reader.take()?;
    if [a, b, c, d] != *MAGIC {
        return Err(reader.refuse("it begins with other bytes"));
    }
    if version != VERSION {
        return Err(reader.refuse(&format!("version {version}, this package reads version {VERSION}")));
    }
    if found != kind as u8 {
        return Err(reader.refuse(&format!("kind {found}, expected {}", kind as u8)));
    }
    let mut names = Names::new();
    for _ in 0..reader.count(SHORTEST_NAME)? {
        let (client, name) = reader.name()?;
        if names.last().is_some_and(|(last, _)| *last >= client) {
            return Err(reader.refuse("names are not in the order of their clients"));
        }
        names.push((client, name));
    }
    let mut ranges = Vec::new();
    for _ in 0..reader.count(4)? {
        let length = u32::from_be_bytes(reader.take()?);
        ranges.push(reader.skip(length as usize)?);
    }
    if reader.position != data.len() {
        return Err(reader.refuse(&format!("{} bytes after its end", data.len() - reader.position)));
    }
    Ok((names, ranges))
}

struct Reader<'a> {
    data: &'a [u8],
    position: usize,
    kind: Kind,
}

impl Reader<'_> {
    /// The next bytes, as many as the array has.
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let range = self.skip(N)?;
        Ok(self.data[range].try_into().expect("as many bytes"))
    }

    fn skip(&mut self, length: usize) -> Result<Range<usize>> {
        let end = self.position.checked_add(length).filter(|end| *end <= self.data.len());
        let end = end.ok_or_else(|| self.refuse("it is truncated"))?;
        Ok(core::mem::replace(&mut self.position, end)..end)
    }

    /// A number of items, each of at least `shortest` bytes. Refuses a number that cannot fit in
    /// the remaining bytes.
    fn count(&mut self, shortest: usize) -> Result<u32> {
        let count = u32::from_be_bytes(self.take()?);
        if count as usize > (self.data.len() - self.position) / shortest {
            return Err(self.refuse(&format!("it states {count} items, but is too short for them")));
        }
        Ok(count)
    }

    fn name(&mut self) -> Result<(u32, Name)> {
        let client = u32::from_be_bytes(self.take()?);
        let [kind, high, low] = self.take()?;
        let range = self.skip(u16::from_be_bytes([high, low]).into())?;
        let text = core::str::from_utf8(&self.data[range]);
        match (kind, text) {
            (0, Ok("")) => Ok((client, Name::Number(client))),
            (1, Ok(text)) if !text.is_empty() && text.len() <= LONGEST_NAME => {
                Ok((client, Name::Text(text.to_owned())))
            }
            _ => Err(self.refuse("an invalid name")),
        }
    }

    fn refuse(&self, reason: &str) -> crate::error::Error {
        Own::Framing { what: self.kind.name().to_owned(), reason: reason.to_owned() }.into()
    }
}

const MAGIC: &[u8; 4] = b"cfld";
const VERSION: u8 = 1;

/// Maximum bytes of a name's text.
const LONGEST_NAME: usize = 255;

/// Bytes of a name without a text.
const SHORTEST_NAME: usize = 7;

//! The declaration of a round, made before any client works.

use cipherfold::federated::{
    Digest, KeyHolding, SessionId,
    round::{self, EncryptionKey, Rates, RoundParameters, RoundSpec as CoreSpec, SumSpec, TensorSpec},
    tensor::{DType, Encoding, Structure, TensorType},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};

use crate::{
    arrays::{self, codec},
    convert::number::Number,
    error::{Error, Own, Result},
    keys::{self, AnyKey},
};

/// The declaration of a round: names, element types and shapes of arrays, codecs, the number of
/// clients, and their maximum weight.
///
/// All parties of a round have the same declaration. Sizes, bytes and the error bound are known
/// before anything runs. Without a key it is a plan. Every role binds the plan to its key, and all
/// roles with the same key get the same round. Make one by :meth:`for_arrays`.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone)]
pub(crate) struct RoundSpec {
    pub(crate) core: CoreSpec,
    /// The key length that the caller stated. Keys of other lengths are refused. It is not part of
    /// the round.
    stated_bits: Option<u32>,
}

impl PartialEq for RoundSpec {
    fn eq(&self, other: &Self) -> bool {
        self.core == other.core
    }
}

#[pymethods]
impl RoundSpec {
    /// Declares a round that sums arrays like these.
    ///
    /// Args:
    ///     arrays: A mapping of names to arrays, a nested mapping, a list, or one array. Only
    ///         names, element types and shapes are read. ``float16`` and ``bfloat16`` are sent and
    ///         returned as ``float32``, and ``bool`` as ``uint8``.
    ///     codec: A codec for all arrays, or a mapping like ``arrays`` with a codec for each. One
    ///         codec may be given for all of a nested mapping.
    ///     max_clients: The maximum number of clients. Slots have room for their sum.
    ///     min_clients: The minimum number of clients. With fewer, no sum is opened. A sum over one
    ///         client is that client's update.
    ///     max_weight: The maximum weight of a client; None if all clients count equally. With
    ///         weights, a mean is the weighted mean, and a sum (also of integers) is the sum of
    ///         values times weights.
    ///     round: The round's number in its session.
    ///     key: The session's key, secret or public; None for a plan.
    ///     key_bits: The key length of a plan. If it is given, keys of other lengths are refused.
    ///         If not, the plan's sizes are those for 3072 bits until it is bound to a key.
    ///     chunk_ciphertexts: Ciphertexts in one message; 1024 by default. On a GPU 8192 are
    ///         faster.
    ///
    /// Raises:
    ///     ConfigError: For invalid settings, with the numbers.
    ///     DtypeError: For an array that is not accepted.
    ///     KeyMismatch: For a key whose length is not ``key_bits``.
    #[staticmethod]
    #[pyo3(signature = (arrays, codec, *, max_clients, min_clients = None, max_weight = None, round = None, key = None,
        key_bits = None, chunk_ciphertexts = None),
        text_signature = "(arrays, codec, *, max_clients, min_clients=2, max_weight=None, round=0, key=None, key_bits=3072, \
        chunk_ciphertexts=None)")]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn for_arrays(
        arrays: &Bound<'_, PyAny>,
        codec: &Bound<'_, PyAny>,
        max_clients: Number<'_>,
        min_clients: Option<Number<'_>>,
        max_weight: Option<Number<'_>>,
        round: Option<Number<'_>>,
        key: Option<AnyKey<'_>>,
        key_bits: Option<Number<'_>>,
        chunk_ciphertexts: Option<Number<'_>>,
    ) -> Result<Self> {
        let structure = arrays::structure_of(&arrays::sources_of(arrays)?);
        let encodings = arrays::codecs_for(&structure, codec)?;
        let sum = sum_of(&structure, &encodings)?;
        let sum = match max_weight {
            Some(weight) => sum.weighted(weight.u32("max_weight")?),
            None => sum,
        };
        let stated_bits = key_bits.map(|bits| bits.u32("key_bits")).transpose()?;
        let key_bits = stated_bits.unwrap_or(DEFAULT_KEY_BITS);
        keys::check_bits(key_bits)?;
        let plan = RoundParameters {
            session: NO_SESSION,
            round: round.map_or(Ok(0), |round| round.u64("round"))?,
            key_bits,
            key_holding: KeyHolding::Server,
            offer: Digest::NONE,
            sums: vec![sum],
            max_clients: max_clients.u32("max_clients")?,
            min_clients: min_clients.map_or(Ok(2), |clients| clients.u32("min_clients"))?,
            chunk_ciphertexts: chunk_ciphertexts
                .map_or(Ok(DEFAULT_CHUNK), |ciphertexts| ciphertexts.u32("chunk_ciphertexts"))?,
        };
        let plan = Self { stated_bits, ..Self::of(CoreSpec::new(plan)?)? };
        match key {
            Some(key) => plan.bind(key),
            None => Ok(plan),
        }
    }

    /// Reads a round from bytes.
    ///
    /// Raises:
    ///     MessageError: For bytes that are not a round.
    ///     ConfigError: For an invalid round.
    #[staticmethod]
    #[pyo3(signature = (data))]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> Result<Self> {
        let core = py.detach(|| CoreSpec::from_bytes(data))?;
        keys::check_bits(core.parameters().key_bits)?;
        Self::of(core)
    }

    /// The round as bytes. Equal rounds have equal bytes. They are not secret.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.core.to_bytes())
    }

    /// The same round, bound to a key.
    ///
    /// Raises:
    ///     KeyMismatch: If it is bound to another key.
    #[pyo3(signature = (key))]
    fn bind(&self, key: AnyKey<'_>) -> Result<Self> {
        Ok(Self { core: self.bound(&key.encryption_key()?)?, ..*self })
    }

    /// The same round with another number. Each number may be used once in a session.
    #[pyo3(signature = (number))]
    fn for_round(&self, number: Number<'_>) -> Result<Self> {
        let parameters = RoundParameters { round: number.u64("number")?, ..self.core.parameters().clone() };
        Ok(Self { core: CoreSpec::new(parameters)?, ..*self })
    }

    /// The round's digest, 64 hexadecimal digits; bound to a key, if one is given.
    #[pyo3(signature = (key = None))]
    fn digest(&self, key: Option<AnyKey<'_>>) -> Result<String> {
        let core = match key {
            Some(key) => self.bound(&key.encryption_key()?)?,
            None => self.core.clone(),
        };
        Ok(core.digest().to_string())
    }

    /// Whether the round is bound to a key.
    #[getter]
    fn is_bound(&self) -> bool {
        self.core.parameters().offer != Digest::NONE
    }

    /// The names of the arrays, in order. Nested names have slashes, and the name of a single array
    /// is ``""``.
    #[getter]
    pub(crate) fn names(&self) -> Vec<String> {
        arrays::names_of(self.sum().tensors())
    }

    /// The codec of each array, by name. A client can check it before it encrypts.
    #[getter]
    fn codecs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.by_name(py, |tensor| codec::of_encoding(py, tensor.encoding))
    }

    /// The NumPy element type of each array, by name.
    #[getter]
    fn dtypes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.by_name(py, |tensor| Ok(numpy_name(tensor.tensor.dtype)))
    }

    /// The shape of each array, by name.
    #[getter]
    fn shapes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.by_name(py, |tensor| PyTuple::new(py, &tensor.tensor.shape))
    }

    /// Number of values of one client.
    #[getter]
    fn values(&self) -> u64 {
        self.core.costs().values
    }

    /// Number of ciphertexts of one client, and of the sum.
    #[getter]
    fn ciphertexts(&self) -> u64 {
        self.core.costs().ciphertexts
    }

    /// Number of messages of one client.
    #[getter]
    pub(crate) fn messages(&self) -> u64 {
        self.core.costs().messages
    }

    /// Maximum number of ciphertexts in one message.
    #[getter]
    fn chunk_ciphertexts(&self) -> u32 {
        self.core.parameters().chunk_ciphertexts
    }

    /// Total bytes of one client's messages. A channel adds its overhead to each message.
    #[getter]
    fn nbytes(&self) -> u64 {
        self.core.costs().update_bytes
    }

    /// Total bytes of the messages of all clients, for the maximum number of clients.
    #[getter]
    fn round_nbytes(&self) -> u64 {
        self.core.costs().round_bytes
    }

    /// Bytes that a client sends for each value.
    #[getter]
    fn bytes_per_value(&self) -> f64 {
        self.core.costs().bytes_per_value()
    }

    /// The maximum error that encoding adds to any element of the result, for the maximum number of
    /// clients and weights.
    ///
    /// Clipping is not included. The element type of the result rounds once more.
    #[getter]
    fn error_bound(&self) -> f64 {
        self.core.error_bounds()[0].iter().copied().fold(0.0, f64::max)
    }

    /// :attr:`error_bound` of each array, by name.
    #[getter]
    fn error_bounds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let bounds = PyDict::new(py);
        for (name, bound) in self.names().iter().zip(self.core.error_bounds()[0].iter()) {
            bounds.set_item(name, bound)?;
        }
        Ok(bounds)
    }

    /// The maximum number of clients.
    #[getter]
    fn max_clients(&self) -> u32 {
        self.core.parameters().max_clients
    }

    /// The minimum number of clients.
    #[getter]
    fn min_clients(&self) -> u32 {
        self.core.parameters().min_clients
    }

    /// The maximum weight of a client, or None.
    #[getter]
    fn max_weight(&self) -> Option<u32> {
        self.sum().max_weight().map(cipherfold::federated::tensor::MaxWeight::get)
    }

    /// The round's number in its session.
    #[getter]
    fn round(&self) -> u64 {
        self.core.round()
    }

    /// Length of the key in bits.
    #[getter]
    fn key_bits(&self) -> u32 {
        self.core.parameters().key_bits
    }

    /// Whether a party other than the server has the secret key; None for a plan.
    #[getter]
    fn key_holder(&self) -> Option<bool> {
        self.is_bound().then(|| self.core.parameters().key_holding == KeyHolding::KeyHolder)
    }

    /// The time of the arithmetic in seconds, at given rates. ``cargo run --release --example
    /// throughput`` measures them.
    ///
    /// Args:
    ///     encryptions, additions, decryptions: Ciphertexts a second of a client, of the
    ///         aggregator, and of the party with the secret key.
    #[pyo3(signature = (*, encryptions, additions, decryptions))]
    fn time<'py>(
        &self,
        py: Python<'py>,
        encryptions: f64,
        additions: f64,
        decryptions: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let time = self.core.costs().time(Rates { encryptions, additions, decryptions });
        let seconds = [time.client, time.aggregator, time.key_owner].map(|time| time.as_secs_f64());
        py.import("cipherfold._results")?.call_method1("RoundTime", PyTuple::new(py, seconds)?)
    }

    fn __hash__(&self) -> u64 {
        u64::from_be_bytes(*self.core.digest().to_bytes().first_chunk().expect("a digest has 32 bytes"))
    }

    fn __repr__(&self) -> String {
        let costs = self.core.costs();
        let bound = if self.is_bound() { "" } else { ", no key yet" };
        format!(
            "<cipherfold.RoundSpec of {} arrays, {} values in {} ciphertexts of {} bits, {} to {} clients, round {}{bound}>",
            self.sum().tensors().iter().count(),
            costs.values,
            costs.ciphertexts,
            self.key_bits(),
            self.min_clients(),
            self.max_clients(),
            self.round(),
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let make = slf.get_type().getattr("from_bytes")?;
        Ok((make, PyTuple::new(slf.py(), [slf.get().to_bytes(slf.py())])?))
    }
}

impl RoundSpec {
    /// A round that this package supports: it has one sum, and at least one value to send.
    fn of(core: CoreSpec) -> Result<Self> {
        let [sum] = core.sums() else {
            let (what, found) = ("round".to_owned(), core.sums().len());
            return Err(Own::Framing {
                what,
                reason: format!("{found} sums; this package supports rounds with one"),
            }
            .into());
        };
        if core.costs().messages == 0 {
            return Err(Own::NothingToSum { arrays: sum.tensors().iter().count() as u64 }.into());
        }
        Ok(Self { core, stated_bits: None })
    }

    /// A property of each array, by name.
    fn by_name<'py, T: IntoPyObject<'py>>(
        &self,
        py: Python<'py>,
        of: impl Fn(&TensorSpec) -> PyResult<T>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (name, tensor) in self.names().iter().zip(self.sum().tensors().iter()) {
            found.set_item(name, of(tensor)?)?;
        }
        Ok(found)
    }

    /// The round's only sum.
    pub(crate) fn sum(&self) -> &SumSpec {
        &self.core.sums()[0]
    }

    /// The round bound to a key. A round that is bound already is returned unchanged, and every
    /// role checks it against its key.
    pub(crate) fn bound(&self, key: &EncryptionKey) -> Result<CoreSpec> {
        if self.is_bound() {
            let expected = self.core.parameters().offer;
            if key.digest() != expected {
                return Err(round::Error::OtherOffer { expected, found: key.digest() }.into());
            }
            return Ok(self.core.clone());
        }
        let found = key.offer().key_bits();
        if let Some(planned) = self.stated_bits.filter(|planned| *planned != found) {
            return Err(Own::PlanKeyBits { planned, found }.into());
        }
        Ok(CoreSpec::new(under(self.core.parameters().clone(), key))?)
    }
}

/// The parameters of the same round under this key.
fn under(parameters: RoundParameters, key: &EncryptionKey) -> RoundParameters {
    let offer = key.offer();
    RoundParameters {
        session: offer.session(),
        key_bits: offer.key_bits(),
        key_holding: offer.key_holding(),
        offer: key.digest(),
        ..parameters
    }
}

/// The sum of tensors with their encodings. If a codec does not support an array's elements, the
/// error has the array's name.
fn sum_of(structure: &Structure<TensorType>, encodings: &[Encoding]) -> Result<SumSpec> {
    let names = arrays::names_of(structure);
    for (tensor, ((kind, encoding), name)) in structure.iter().zip(encodings).zip(&names).enumerate() {
        if !encoding.takes(kind.dtype) {
            let error = round::Error::EncodingType { tensor, dtype: kind.dtype };
            return Err(Error::Python(Error::from(error).at_array(name)));
        }
    }
    let mut encodings = encodings.iter();
    let spec = |tensor: &TensorType| {
        let encoding = *encodings.next().expect("one for each tensor");
        TensorSpec { tensor: tensor.clone(), encoding }
    };
    Ok(SumSpec::new(structure.as_ref().map(spec)))
}

/// NumPy's name of an element type.
fn numpy_name(dtype: DType) -> String {
    let name = dtype.name();
    let bits = name.trim_start_matches(char::is_alphabetic);
    match name.as_bytes() {
        [b'f', ..] => format!("float{bits}"),
        [b'i', ..] => format!("int{bits}"),
        [b'u', ..] => format!("uint{bits}"),
        _ => name.to_owned(),
    }
}

/// The session of a plan, a placeholder.
const NO_SESSION: SessionId = SessionId::from_bytes([0; SessionId::LEN]);

const DEFAULT_KEY_BITS: u32 = 3072;

/// The default does not depend on the machine, because all parties must use the same.
const DEFAULT_CHUNK: u32 = 1024;

//! A client's update in its file: checked as a whole, then read and encrypted message by message.

use std::path::Path;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        round::{Client, Piece, StreamedUpdate},
        tensor::{DType, Encoding, TensorView},
    },
    files::{self, Reader, UpdateFile},
    ndarray::ArrayView1,
};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::{
    error::{Error, Result},
    parties::Home,
    progress::Progress,
    roles::Timeout,
    round::{OpenRound, template},
};

/// A client's settings for its update.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The update: a safetensors file, the index of a sharded model, or a directory with either.
    pub update: &'a Path,
    /// The client's weight, if the round has weights.
    pub weight: Option<u32>,
    /// Values beyond the round's bound count as the bound.
    pub allow_clipping: bool,
    /// Short exponents: about four times as fast, under a further assumption.
    pub short_exponents: bool,
    /// The backend.
    pub backend: BackendChoice,
    /// The time to wait for the aggregator's key.
    pub timeout: Timeout,
}

/// An update whose values can all be encoded.
pub(super) struct CheckedUpdate {
    file: UpdateFile,
    streamed: StreamedUpdate,
    tensors: Vec<TensorKind>,
    /// The place of each secure sum's first tensor among all tensors.
    starts: Vec<usize>,
    /// Values beyond the bound.
    clipped: u64,
}

/// How the values of a tensor are read, and their bound.
struct TensorKind {
    dtype: DType,
    /// As it was declared.
    bound: f64,
    /// The bound in the type of the values: 0.1 as `f32` is a little above 0.1.
    rounded_bound: f64,
}

/// Values of one piece. They are wiped when dropped.
enum Values {
    F32(Zeroizing<Vec<f32>>),
    F64(Zeroizing<Vec<f64>>),
}

impl Values {
    fn view(&self) -> TensorView<'_> {
        match self {
            Self::F32(values) => ArrayView1::from(&**values).into_dyn().into(),
            Self::F64(values) => ArrayView1::from(&**values).into_dyn().into(),
        }
    }

    fn count_beyond(&self, bound: f64) -> u64 {
        let count = match self {
            Self::F32(values) => values.iter().filter(|value| f64::from(value.abs()) > bound).count(),
            Self::F64(values) => values.iter().filter(|value| value.abs() > bound).count(),
        };
        count as u64
    }
}

impl TensorKind {
    fn new(dtype: DType, encoding: Encoding) -> Self {
        let bound = match encoding {
            Encoding::Mean(quantizer) => quantizer.upper(),
            _ => f64::INFINITY,
        };
        #[expect(clippy::cast_possible_truncation, reason = "rounded as the values are")]
        let rounded_bound = if dtype == DType::F32 { f64::from(bound as f32) } else { bound };
        Self { dtype, bound, rounded_bound }
    }
}

impl CheckedUpdate {
    /// Opens an update and reads all of it once.
    ///
    /// # Errors
    ///
    /// [`Error::Model`], [`Error::Clipping`]; those of [`StreamedUpdate::new`] and
    /// [`StreamedUpdate::check`].
    pub(super) fn read(
        home: &Home,
        round: &OpenRound,
        submission: Submission<'_>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let model = template(home, round)?;
        let mut file = UpdateFile::open(submission.update)?;
        file.arrange_like(&model)?;
        let spec = round.spec();
        // The file has the round's names, types and shapes.
        let parts: Vec<_> = spec.sums().iter().map(|sum| (sum.structure(), submission.weight)).collect();
        let streamed = StreamedUpdate::new(spec, &parts)?;
        let mut next = 0;
        let starts = spec.sums().iter().map(|sum| {
            let start = next;
            next += sum.tensors().iter().count();
            start
        });
        let starts = starts.collect();
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter());
        let tensors = tensors.map(|tensor| TensorKind::new(tensor.tensor.dtype, tensor.encoding)).collect();
        let mut update = Self { file, streamed, tensors, starts, clipped: 0 };
        update.clipped = update.check(submission.allow_clipping, progress)?;
        Ok(update)
    }

    /// Values that are clipped.
    pub(super) fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Checks all values. Returns the number of those beyond the bound.
    fn check(&self, allow_clipping: bool, progress: &dyn Progress) -> Result<u64> {
        let mut reader = self.file.reader();
        let mut beyond = vec![0; self.tensors.len()];
        let messages = self.streamed.messages();
        for number in 0..messages {
            progress.work("checking", number, messages);
            let pieces = self.streamed.pieces(number)?;
            let values = self.values(&mut reader, &pieces)?;
            self.streamed.check(number, &views(&values))?;
            for (piece, values) in pieces.iter().zip(&values) {
                let place = self.place(piece);
                beyond[place] += values.count_beyond(self.tensors[place].rounded_bound);
            }
        }
        progress.work("checking", messages, messages);
        let first = beyond.iter().position(|count| *count > 0);
        if let Some(place) = first.filter(|_| !allow_clipping) {
            let tensor = self.file.tensors()[place].name().to_owned();
            return Err(Error::Clipping { tensor, count: beyond[place], bound: self.tensors[place].bound });
        }
        Ok(beyond.iter().sum())
    }

    /// The values of a message, piece by piece.
    fn values(&self, reader: &mut Reader<'_>, pieces: &[Piece]) -> Result<Vec<Values>, files::Error> {
        let read = |piece: &Piece| {
            let (place, elements) = (self.place(piece), piece.elements.clone());
            if self.tensors[place].dtype == DType::F64 {
                let mut values = Zeroizing::new(vec![0.0; elements.len()]);
                reader.read_floats(place, elements.start, &mut values)?;
                Ok(Values::F64(values))
            } else {
                let mut values = Zeroizing::new(vec![0.0; elements.len()]);
                reader.read_floats(place, elements.start, &mut values)?;
                Ok(Values::F32(values))
            }
        };
        pieces.iter().map(read).collect()
    }

    fn place(&self, piece: &Piece) -> usize {
        self.starts[piece.sum] + piece.tensor
    }

    /// The messages of a client with this update.
    pub(super) fn encryption<'u>(&'u self, client: &'u Client) -> Encryption<'u> {
        Encryption { update: self, reader: self.file.reader(), client, clipped: 0 }
    }
}

fn views(values: &[Values]) -> Vec<TensorView<'_>> {
    values.iter().map(Values::view).collect()
}

/// An update while it is encrypted.
pub(super) struct Encryption<'u> {
    update: &'u CheckedUpdate,
    reader: Reader<'u>,
    client: &'u Client,
    clipped: u64,
}

impl Encryption<'_> {
    /// The message with this number.
    pub(super) fn message(&mut self, number: u64) -> Result<Vec<u8>> {
        let streamed = &self.update.streamed;
        let values = self.update.values(&mut self.reader, &streamed.pieces(number)?)?;
        let rng = &mut UnwrapErr(getrandom::SysRng);
        let (message, clipped) = self.client.streamed_message(streamed, number, &views(&values), rng)?;
        self.clipped += clipped;
        Ok(message)
    }

    /// Refuses an update that has changed since it was checked.
    pub(super) fn finish(self) -> Result<()> {
        if self.clipped == self.update.clipped {
            return Ok(());
        }
        Err(files::Error::Changed { path: self.update.file.path().to_owned() }.into())
    }
}

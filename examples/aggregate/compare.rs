//! The plain mean, for comparison with the secure mean. Reads the files again, a block of each at a
//! time.

use cipherfold::{
    files::{Error, Float, FloatType, UpdateFile},
    packing::Quantizer,
};
use ndarray::Array1;

use crate::updates::Updates;

/// Number of values that are compared at a time. Only a block of the running sums is in memory.
const BLOCK: usize = 1 << 18;

/// The deviation of the written mean from the plain mean, for all tensors of a type.
pub(crate) struct Deviation {
    pub(crate) float: FloatType,
    pub(crate) values: usize,
    /// An upper bound: the quantizer's bound, plus the error of rounding to the type of the file.
    pub(crate) bound: f64,
    /// The maximum deviation from the mean of the clipped values. The bound applies to it.
    pub(crate) largest: f64,
    /// The position of this maximum.
    pub(crate) tensor: String,
    /// The maximum deviation from the mean of the unclipped values.
    pub(crate) largest_unclipped: f64,
    /// Whether the bound holds everywhere, up to the rounding errors of the plain mean.
    pub(crate) within_bound: bool,
}

/// The secure mean, and its inputs.
pub(crate) struct Comparison<'a, T> {
    pub(crate) updates: Updates<'a>,
    /// A weight for each client.
    pub(crate) weights: &'a [f64],
    /// The maximum change of a mean of numbers from -1 to 1 by the rounding of weights.
    pub(crate) weight_rounding: f64,
    /// One for each floating-point tensor.
    pub(crate) quantizers: &'a [Quantizer],
    pub(crate) mean: &'a [Array1<T>],
    /// The type of the mean in memory.
    pub(crate) element: FloatType,
}

impl<T: Float> Comparison<'_, T> {
    /// Compares with the plain mean. Returns one entry for each type.
    pub(crate) fn deviations(&self) -> Result<Vec<Deviation>, Error> {
        let mut found: Vec<Deviation> = Vec::new();
        let mut sums = Sums::default();
        for pieces in blocks(&self.updates.models[0]) {
            sums.add_up(self, &pieces)?;
            let mut start = 0;
            for piece in &pieces {
                let range = start..start + piece.len();
                let (clipped, unclipped) = (&sums.clipped[range.clone()], &sums.unclipped[range.clone()]);
                let base = sums.base.get(range).unwrap_or_default();
                self.compare(piece, clipped, unclipped, base, &mut found);
                start += piece.len();
            }
        }
        found.sort_by_key(|entry| entry.float);
        Ok(found)
    }

    fn compare(
        &self,
        piece: &Piece,
        clipped: &[f64],
        unclipped: &[f64],
        base: &[f64],
        found: &mut Vec<Deviation>,
    ) {
        let tensor = &self.updates.models[0].tensors()[piece.tensor];
        let float = tensor.float().expect("pieces are of tensors that are averaged");
        let entry = if let Some(entry) = found.iter_mut().find(|entry| entry.float == float) {
            entry
        } else {
            found.push(Deviation {
                float,
                values: 0,
                bound: 0.0,
                largest: 0.0,
                tensor: tensor.name().to_owned(),
                largest_unclipped: 0.0,
                within_bound: true,
            });
            found.last_mut().expect("just pushed")
        };
        entry.values += piece.len();
        let total: f64 = self.weights.iter().sum();
        let (of_mean, slack) = self.bound_of_mean(&self.quantizers[piece.float]);
        // A mean of the same type is written without rounding.
        let rounds = float.bytes() < self.element.bytes() || !base.is_empty();
        let written = self.mean[piece.float].iter().skip(piece.from).take(piece.len());
        for (i, (written, (clipped, unclipped))) in written.zip(clipped.iter().zip(unclipped)).enumerate() {
            let origin = base.get(i).copied().unwrap_or(0.0);
            let written = float.round(origin + written.to_f64());
            let within = |x: f64| x.clamp(-float.maximum(), float.maximum());
            let expected = within(origin + clipped / total);
            let rounding = if rounds { float.rounding_error(expected.abs() + of_mean) } else { 0.0 };
            let deviation = (written - expected).abs();
            if deviation > entry.largest {
                (entry.largest, entry.tensor) = (deviation, tensor.name().to_owned());
            }
            entry.bound = entry.bound.max(of_mean + rounding);
            // Not `deviation > bound`: that is false for NaN.
            entry.within_bound &= deviation
                <= of_mean + rounding + slack + 4.0 * f64::EPSILON * (origin.abs() + expected.abs());
            entry.largest_unclipped =
                entry.largest_unclipped.max((written - within(origin + unclipped / total)).abs());
        }
    }

    /// The maximum error of a mean before it is rounded to the type of the file, and the rounding
    /// error of the plain mean.
    fn bound_of_mean(&self, quantizer: &Quantizer) -> (f64, f64) {
        let upper = quantizer.upper();
        let magnitude = upper + quantizer.error_bound();
        let mut bound =
            quantizer.error_bound() + self.element.rounding_error(magnitude) + self.weight_rounding * upper;
        if self.updates.base.is_some() {
            // Differences are rounded to the type in memory.
            bound += self.element.rounding_error(upper);
        }
        // One rounding for each client, of sums that are at most the total weight times the bound.
        let clients: f64 = self.weights.iter().map(|_| 1.0).sum();
        (bound, (clients + 2.0) * f64::EPSILON * upper)
    }
}

/// Sums of a block over all clients.
#[derive(Default)]
struct Sums {
    clipped: Vec<f64>,
    unclipped: Vec<f64>,
    /// Values of the base, if there is one.
    base: Vec<f64>,
    values: Vec<f64>,
}

impl Sums {
    fn add_up<T>(&mut self, of: &Comparison<'_, T>, pieces: &[Piece]) -> Result<(), Error> {
        let len = pieces.iter().map(Piece::len).sum();
        for sums in [&mut self.clipped, &mut self.unclipped] {
            sums.clear();
            sums.resize(len, 0.0);
        }
        for (client, weight) in of.weights.iter().enumerate() {
            let mut source = of.updates.source(client);
            let mut start = 0;
            for piece in pieces {
                let quantizer = &of.quantizers[piece.float];
                self.values.resize(piece.len(), 0.0);
                source.read(piece.tensor, piece.from, &mut self.values)?;
                let sums = self.clipped[start..].iter_mut().zip(&mut self.unclipped[start..]);
                for (x, (clipped, unclipped)) in self.values.iter().zip(sums) {
                    *clipped += weight * x.clamp(quantizer.lower(), quantizer.upper());
                    *unclipped += weight * x;
                }
                start += piece.len();
            }
        }
        if let Some(base) = of.updates.base {
            let mut reader = base.reader();
            self.base.resize(len, 0.0);
            let mut start = 0;
            for piece in pieces {
                reader.read_floats(piece.tensor, piece.from, &mut self.base[start..start + piece.len()])?;
                start += piece.len();
            }
        }
        Ok(())
    }
}

/// A part of a tensor.
struct Piece {
    /// Its index among all tensors.
    tensor: usize,
    /// Its index among the averaged tensors.
    float: usize,
    from: usize,
    to: usize,
}

impl Piece {
    fn len(&self) -> usize {
        self.to - self.from
    }
}

/// All values, in parts of at most [`BLOCK`].
fn blocks(model: &UpdateFile) -> Vec<Vec<Piece>> {
    let mut blocks = vec![Vec::new()];
    let mut room = BLOCK;
    let floats = model.tensors().iter().enumerate().filter(|(_, tensor)| tensor.float().is_some());
    for (float, (tensor, info)) in floats.enumerate() {
        let mut from = 0;
        loop {
            let to = info.values().min(from + room);
            room -= to - from;
            blocks.last_mut().expect("at least one").push(Piece { tensor, float, from, to });
            if to == info.values() {
                break; // an empty tensor is a piece too, so that its type has an entry
            }
            from = to;
            blocks.push(Vec::new());
            room = BLOCK;
        }
    }
    blocks
}

//! The plain mean, to compare the secure one with. Reads the files again, a block of each at a time.

use cipherfold::packing::Quantizer;

use crate::model::{FloatType, Model, Problem};

/// Values that are compared at a time. A block of the running sums is all that is in memory.
const BLOCK: usize = 1 << 18;

/// How far the mean, as it is written, is from the plain mean, for all tensors of a type.
pub(crate) struct Deviation {
    pub(crate) float: FloatType,
    pub(crate) values: usize,
    /// What it cannot exceed: the quantizer's bound, and what rounding to the type of the file adds.
    pub(crate) bound: f64,
    /// The largest one, from the mean of the clipped values, which the bound is about.
    pub(crate) largest: f64,
    /// Where that is.
    pub(crate) tensor: String,
    /// The largest one from the mean of the values as the files have them.
    pub(crate) largest_unclipped: f64,
    /// Whether the bound holds, up to what the plain mean itself rounds.
    pub(crate) within_bound: bool,
}

/// Compares with the plain mean. One entry for each type that there is.
pub(crate) fn deviations(
    models: &[Model],
    weights: Option<&[u32]>,
    quantizer: &Quantizer,
    mean: &[ndarray::Array1<f32>],
) -> Result<Vec<Deviation>, Problem> {
    let weight = |client: usize| weights.map_or(1.0, |weights| f64::from(weights[client]));
    let total_weight: f64 = (0..models.len()).map(weight).sum();
    let (lower, upper) = (quantizer.lower(), quantizer.upper());
    // As many roundings as clients, of sums that are at most the total weight times the clip.
    let clients: f64 = models.iter().map(|_| 1.0).sum();
    let slack = (clients + 2.0) * f64::EPSILON * upper;
    let magnitude = upper + quantizer.error_bound();
    let mut found: Vec<Deviation> = Vec::new();
    let (mut values, mut clipped, mut unclipped) = (Vec::new(), Vec::new(), Vec::new());
    for pieces in blocks(&models[0]) {
        let len = pieces.iter().map(Piece::len).sum();
        for sums in [&mut clipped, &mut unclipped] {
            sums.clear();
            sums.resize(len, 0.0);
        }
        for (client, model) in models.iter().enumerate() {
            let mut reader = model.reopen()?;
            let mut start = 0;
            for piece in &pieces {
                values.resize(piece.len(), 0.0);
                reader.read(&model.tensors[piece.tensor], piece.from, &mut values)?;
                let sums = clipped[start..].iter_mut().zip(&mut unclipped[start..]);
                for (x, (clipped, unclipped)) in values.iter().map(|x| f64::from(*x)).zip(sums) {
                    *clipped += weight(client) * x.clamp(lower, upper);
                    *unclipped += weight(client) * x;
                }
                start += piece.len();
            }
        }
        let mut start = 0;
        for piece in &pieces {
            let tensor = &models[0].tensors[piece.tensor];
            let float = tensor.float().expect("pieces are of tensors that are averaged");
            let entry = if let Some(entry) = found.iter_mut().find(|entry| entry.float == float) {
                entry
            } else {
                // Rounded to F32 first, and from there to the type of the file.
                let rounding = FloatType::F32.rounding_error(magnitude)
                    + if float == FloatType::F32 { 0.0 } else { float.rounding_error(magnitude) };
                found.push(Deviation {
                    float,
                    values: 0,
                    bound: quantizer.error_bound() + rounding,
                    largest: 0.0,
                    tensor: tensor.name.clone(),
                    largest_unclipped: 0.0,
                    within_bound: true,
                });
                found.last_mut().expect("just pushed")
            };
            entry.values += piece.len();
            let written = mean[piece.float].iter().skip(piece.from).take(piece.len());
            for ((written, clipped), unclipped) in written.zip(&clipped[start..]).zip(&unclipped[start..]) {
                let written = f64::from(float.round(*written));
                let deviation = (written - clipped / total_weight).abs();
                if deviation > entry.largest {
                    (entry.largest, entry.tensor) = (deviation, tensor.name.clone());
                }
                // Not `deviation > bound`: that is false for NaN.
                entry.within_bound &= deviation <= entry.bound + slack;
                entry.largest_unclipped =
                    entry.largest_unclipped.max((written - unclipped / total_weight).abs());
            }
            start += piece.len();
        }
    }
    found.sort_by_key(|entry| entry.float);
    Ok(found)
}

/// A part of a tensor.
struct Piece {
    /// Its number among all tensors.
    tensor: usize,
    /// Its number among those that are averaged.
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
fn blocks(model: &Model) -> Vec<Vec<Piece>> {
    let mut blocks = vec![Vec::new()];
    let mut room = BLOCK;
    let floats = model.tensors.iter().enumerate().filter(|(_, tensor)| tensor.float().is_some());
    for (float, (tensor, info)) in floats.enumerate() {
        let mut from = 0;
        loop {
            let to = info.values().min(from + room);
            room -= to - from;
            blocks.last_mut().expect("at least one").push(Piece { tensor, float, from, to });
            if to == info.values() {
                break; // a tensor without values is a piece as well, so that its type has an entry
            }
            from = to;
            blocks.push(Vec::new());
            room = BLOCK;
        }
    }
    blocks
}

//! Reads and checks all files before the work begins.

use std::path::PathBuf;

use cipherfold::files::{Error, Float, FloatType, Printable, TensorInfo, UpdateFile};

use crate::{
    args::OtherTypes,
    ranges::{Bound, exponent},
    shared::plural::count,
    updates::{BLOCK, Updates},
};

/// Opens all updates, with their tensors in the order of the first one's.
pub(crate) fn open(paths: &[PathBuf]) -> Result<Vec<UpdateFile>, Error> {
    let mut models: Vec<UpdateFile> = Vec::with_capacity(paths.len());
    for path in paths {
        let mut model = UpdateFile::open(path)?;
        if let Some(first) = models.first() {
            model.arrange_like(first)?;
        }
        models.push(model);
    }
    Ok(models)
}

/// Fails if a tensor cannot be treated as requested, or if there is nothing to average.
pub(crate) fn treatable(first: &UpdateFile, other_types: OtherTypes) -> Result<(), String> {
    let path = Printable::path(first.path());
    let secure = matches!(other_types, OtherTypes::Mean | OtherTypes::Max);
    for tensor in first.tensors().iter().filter(|tensor| tensor.float().is_none()) {
        let (name, dtype) = (Printable::name(tensor.name()), tensor.type_name());
        if other_types == OtherTypes::Refuse {
            return Err(format!(
                "{path}: tensor `{name}` is {dtype}, no floating-point type: \
                 --other-types same, mean, max or first says what to do with it"
            ));
        }
        if secure && tensor.integer().is_none() {
            return Err(format!(
                "{path}: tensor `{name}` is {dtype}, a part of a block format, which has no mean and no maximum: \
                 --other-types same keeps it if it is the same in all files"
            ));
        }
    }
    let averaged = |tensor: &&TensorInfo| tensor.float().is_some() || secure;
    if first.tensors().iter().filter(averaged).all(|tensor| tensor.values() == 0) {
        if first.tensors().iter().all(|tensor| tensor.values() == 0) {
            return Err(format!("{path}: nothing to average: its tensors have no values"));
        }
        let mut types: Vec<_> = first.tensors().iter().map(TensorInfo::type_name).collect();
        types.sort();
        types.dedup();
        let types = types.join(", ");
        let remedy = if secure { "" } else { "; --other-types mean or max works on integers" };
        return Err(format!(
            "{path}: nothing to average: its tensors are {types}, and none of a floating-point type has values{remedy}"
        ));
    }
    Ok(())
}

/// Facts found by reading all values.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For each client, the biased exponents of the tensors with an unknown bound.
    pub(crate) exponents: Vec<Vec<u64>>,
    /// Values beyond their tensors' bounds.
    pub(crate) clipped: u64,
    /// The client and tensor with the most of them, and their number there.
    most_clipped: Option<(usize, usize, u64)>,
    /// Tensors with such values, of all clients together.
    clipped_tensors: usize,
}

/// Reads all values, so that all faults of files are known before the work begins.
///
/// Values, or differences to the base, will be stored as `element`.
pub(crate) fn values(
    updates: Updates<'_>,
    bounds: &[Bound],
    other_types: OtherTypes,
    element: FloatType,
) -> Result<Found, String> {
    let text = |error: Error| error.to_string();
    let mut found = Found::default();
    let mut clipped_tensors = vec![false; bounds.len()];
    for (client, model) in updates.models.iter().enumerate() {
        let mut source = updates.source(client);
        let (mut reader, mut firsts) = (model.reader(), updates.models[0].reader());
        let mut exponents = Vec::new();
        let mut floats = 0;
        for (place, tensor) in model.tensors().iter().enumerate() {
            if tensor.float().is_some() {
                let (clipped, largest) = scan(&mut source, place, tensor, bounds[floats]).map_err(text)?;
                if largest > element.maximum() {
                    let (path, name) = (Printable::path(model.path()), Printable::name(tensor.name()));
                    return Err(format!(
                        "{path}: tensor `{name}` differs from the base by more than {element} holds"
                    ));
                }
                if bounds[floats] == Bound::Auto {
                    exponents.push(exponent(largest));
                }
                if clipped > 0 {
                    found.clipped += clipped;
                    clipped_tensors[floats] = true;
                    if found.most_clipped.is_none_or(|(.., most)| most < clipped) {
                        found.most_clipped = Some((client, place, clipped));
                    }
                }
                floats += 1;
            } else if other_types == OtherTypes::Same && client > 0 {
                if !reader.same(place, &mut firsts, place).map_err(text)? {
                    return Err(differs(updates.models, client, tensor));
                }
            } else if matches!(other_types, OtherTypes::Mean | OtherTypes::Max) {
                let mut values = vec![0; tensor.values().min(BLOCK)];
                for from in (0..tensor.values()).step_by(BLOCK) {
                    values.truncate(tensor.values() - from);
                    reader.read_integers(place, from, &mut values).map_err(text)?;
                }
            }
        }
        found.exponents.push(exponents);
    }
    found.clipped_tensors = clipped_tensors.iter().filter(|clipped| **clipped).count();
    Ok(found)
}

/// Number of values beyond the bound, and the largest magnitude.
fn scan(
    source: &mut crate::updates::Source<'_>,
    place: usize,
    tensor: &TensorInfo,
    bound: Bound,
) -> Result<(u64, f64), Error> {
    let (mut clipped, mut largest) = (0, 0.0_f64);
    let bound = if let Bound::Fixed(bound) = bound { bound } else { f64::INFINITY };
    let mut values = vec![0.0_f64; tensor.values().min(BLOCK)];
    for from in (0..tensor.values()).step_by(BLOCK) {
        values.truncate(tensor.values() - from);
        source.read(place, from, &mut values)?;
        for value in &values {
            clipped += u64::from(value.abs() > bound);
            largest = largest.max(value.abs());
        }
    }
    Ok((clipped, largest))
}

fn differs(models: &[UpdateFile], client: usize, tensor: &TensorInfo) -> String {
    let [path, first] = [client, 0].map(|client| Printable::path(models[client].path()));
    let (name, dtype) = (Printable::name(tensor.name()), tensor.type_name());
    let remedy = if tensor.integer().is_some() {
        "--other-types mean takes the secure mean, rounded, max the largest value, first the first file's own"
    } else {
        "--other-types first takes the first file's own"
    };
    format!(
        "{path}: tensor `{name}` is {dtype} and not the same as in {first}, so it cannot be kept: {remedy}"
    )
}

impl Found {
    /// The error of a run with values beyond their bounds, if there are any.
    pub(crate) fn clipping(&self, updates: Updates<'_>, bounds: &[Bound], asked_for: bool) -> Option<String> {
        let (client, place, most) = self.most_clipped?;
        let model = &updates.models[client];
        let float = model.tensors()[..place].iter().filter(|tensor| tensor.float().is_some()).count();
        let Bound::Fixed(bound) = bounds[float] else { return None };
        let difference = if updates.base.is_some() { "difference to the base" } else { "value" };
        let differences = if updates.base.is_some() { "differences to the base" } else { "values" };
        let all = count(self.clipped, &format!("{difference} is"), &format!("{differences} are"));
        let tensors = count(self.clipped_tensors as u64, "tensor", "tensors");
        let allow = if asked_for { "" } else { " with a bound by --clip" };
        Some(format!(
            "{all} beyond the bound, in {tensors}; most in {}: {most} of `{}`, beyond ±{}. \
             --clip auto finds bounds, --clip NUMBER or PATTERN=NUMBER sets them, and --allow-clipping{allow} clips",
            Printable::path(model.path()),
            Printable::name(model.tensors()[place].name()),
            shortest(bound),
        ))
    }
}

/// The minimum number of digits that identifies a number of its type: a bound that was rounded to
/// F32 is shown as given.
fn shortest(x: f64) -> String {
    let narrow = f32::from_f64(x);
    if f64::from(narrow).total_cmp(&x).is_eq() { narrow.to_string() } else { x.to_string() }
}

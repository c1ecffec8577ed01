//! The model of a round as a file with names, types and shapes, and without values.

use std::{fs, io::Write, path::Path};

use cipherfold::{
    federated::tensor::DType,
    files::{FloatType, TensorInfo, UpdateFile},
};
use serde_json::{Map, json};

use super::open_round::OpenRound;
use crate::{
    error::{Error, Result},
    file_error::FileError,
    objects::{self, RoundKey},
    parties::Home,
};

/// The type that a tensor's values are read into.
pub(super) fn dtype(info: &TensorInfo) -> Result<DType> {
    match info.float() {
        None => Err(Error::TensorType { tensor: info.name().to_owned(), dtype: info.type_name() }),
        Some(FloatType::F64) => Ok(DType::F64),
        Some(_) => Ok(DType::F32),
    }
}

/// The header of a safetensors file with these tensors in their order, with its length before it.
pub(super) fn header(tensors: &[TensorInfo]) -> Vec<u8> {
    let mut end = 0;
    let mut entries = Map::new();
    for tensor in tensors {
        let start = end;
        end += tensor.bytes();
        let entry =
            json!({ "dtype": tensor.type_name(), "shape": tensor.shape(), "data_offsets": [start, end] });
        entries.insert(tensor.name().to_owned(), entry);
    }
    let mut text = serde_json::to_vec(&entries).expect("names and numbers are JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes(), &*text].concat()
}

/// A file with the names, types and shapes of a round's tensors, in the party's directory. Its
/// values are zeros, which take no space if the file system supports sparse files.
///
/// # Errors
///
/// [`Error::File`]; [`objects::Error::Contents`] if the declared header does not fit the round's
/// specification.
pub fn template(home: &Home, round: &OpenRound) -> Result<UpdateFile> {
    let path = home.round_directory(round.session().id(), round.number())?.join("model.safetensors");
    write(&path, &round.declared().body().header, round)?;
    let key = round.key(RoundKey::Open);
    let contents = |reason: String| objects::Error::Contents { key, reason };
    let model = UpdateFile::open(&path).map_err(|error| contents(error.to_string()))?;
    let declared: Vec<_> = round.spec().sums().iter().flat_map(|sum| sum.tensors().leaves()).collect();
    let fits = declared.len() == model.tensors().len()
        && declared.iter().zip(model.tensors()).all(|((path, spec), info)| {
            path.join() == info.name()
                && dtype(info).is_ok_and(|dtype| dtype == spec.tensor.dtype)
                && spec.tensor.shape == [info.values()]
        });
    if fits {
        Ok(model)
    } else {
        Err(contents("declares a model that is not the one of its specification".to_owned()).into())
    }
}

/// Writes the header, and extends the file to the length in the header.
fn write(path: &Path, header: &[u8], round: &OpenRound) -> Result<()> {
    let io = FileError::at(path);
    let values: u64 = round.spec().costs().values;
    // No type takes more than 8 bytes a value. A header that claims more is refused when the file
    // is opened.
    let largest = (header.len() as u64).saturating_add(values.saturating_mul(8));
    let len = (header.len() as u64).saturating_add(data_len(header)).min(largest);
    let folder = path.parent().expect("the file is in a directory");
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(&io)?;
    file.write_all(header).map_err(&io)?;
    file.as_file().set_len(len).map_err(&io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    fs::metadata(path).map(drop).map_err(io)?;
    Ok(())
}

/// The end of the last tensor by the header, or zero for one that cannot be read.
fn data_len(header: &[u8]) -> u64 {
    let entries: Option<Map<String, serde_json::Value>> =
        header.get(8..).and_then(|text| serde_json::from_slice(text).ok());
    let ends = entries.iter().flatten().filter_map(|(_, entry)| entry["data_offsets"][1].as_u64());
    ends.max().unwrap_or(0)
}

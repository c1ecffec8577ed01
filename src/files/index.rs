//! Sharded models: an index, `….safetensors.index.json`, beside the files that hold the tensors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::{Error, Format};

/// Maximum bytes of an index. An index of 100,000 tensors has about 10 MB.
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// The needed part of an index.
#[derive(Deserialize)]
struct Index {
    /// The file that holds each tensor.
    weight_map: BTreeMap<String, String>,
}

/// The shards of an index, with the tensors that each must hold.
pub(super) fn shards(index: &Path) -> Result<BTreeMap<PathBuf, BTreeSet<String>>, Error> {
    let io = Error::io(index);
    let problem = |reason: String| Error::Index { path: index.to_owned(), reason };
    let status = fs::metadata(index).map_err(&io)?;
    if !status.is_file() {
        return Err(Error::NotAFile { path: index.to_owned() });
    }
    if status.len() > MAX_INDEX_BYTES {
        return Err(problem(format!("{} bytes are too many", status.len())));
    }
    let text = fs::read(index).map_err(&io)?;
    if let Some(format) =
        Format::of(&text).filter(|format| !matches!(format, Format::Json | Format::ShardIndex))
    {
        let remedy = format.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        return Err(problem(format!("this is {format}{remedy}")));
    }
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| problem(error.to_string()))?;
    if parsed.weight_map.is_empty() {
        return Err(Error::NoTensors { path: index.to_owned() });
    }
    let folder = index.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for (tensor, shard) in parsed.weight_map {
        if !lies_beside(Path::new(&shard)) {
            return Err(Error::ShardPath { path: index.to_owned(), shard });
        }
        shards.entry(folder.join(shard)).or_default().insert(tensor);
    }
    Ok(shards)
}

/// Whether a shard's name stays in the index's directory. An index may come from an attacker who
/// wants other files to be read.
fn lies_beside(shard: &Path) -> bool {
    let mut components = shard.components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}

/// The model in a directory: an index, otherwise the only safetensors file.
pub(super) fn model_in(directory: &Path) -> Result<PathBuf, Error> {
    let io = Error::io(directory);
    let (mut indexes, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(&io)? {
        let path = entry.map_err(&io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue; // hidden, and often unfinished
        }
        if name.ends_with(".safetensors.index.json") {
            indexes.push(path);
        } else if name.ends_with(".safetensors") {
            files.push(path);
        }
    }
    let problem = |found: String| Error::Directory { path: directory.to_owned(), found };
    match (&*indexes, &*files) {
        ([index], files) => {
            // A file beside the index that is not a shard: the choice would be ambiguous.
            let shards = shards(index)?;
            match files.iter().find(|file| !shards.contains_key(*file)) {
                None => Ok(index.clone()),
                Some(_) => {
                    Err(problem("an index and a safetensors file that is none of its shards".to_owned()))
                }
            }
        }
        ([], [file]) => Ok(file.clone()),
        ([], []) => Err(problem("no safetensors file".to_owned())),
        ([], files) => Err(problem(format!("{} safetensors files and no index", files.len()))),
        (indexes, _) => Err(problem(format!("{} indexes", indexes.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_lie_beside_their_index() {
        for good in ["model-00001-of-00002.safetensors", "a b"] {
            assert!(lies_beside(Path::new(good)), "{good}");
        }
        for bad in ["", ".", "..", "/etc/passwd", "../other/model.safetensors", "a/b", "a/../b"] {
            assert!(!lies_beside(Path::new(bad)), "{bad}");
        }
    }
}

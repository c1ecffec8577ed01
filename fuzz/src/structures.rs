//! Structures as JSON, and the traversals of them.

use cipherfold::federated::tensor::{Structure, TensorType};

/// The bytes are a path, a zero byte, and the text of a structure.
pub fn run(data: &[u8]) {
    let (path, text) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    if let Ok(structure) = serde_json::from_slice::<Structure<i32>>(text) {
        walk(&structure, &String::from_utf8_lossy(path));
    }
    if let Ok(structure) = serde_json::from_slice::<Structure<TensorType>>(text) {
        walk(&structure, &String::from_utf8_lossy(path));
    }
}

fn walk<T: Clone + PartialEq + core::fmt::Debug>(structure: &Structure<T>, path: &str)
where
    Structure<T>: serde::Serialize + serde::de::DeserializeOwned,
{
    let _ = structure.get(path);
    assert_eq!(structure.iter().count(), structure.leaves().count());
    for (path, leaf) in structure.leaves().take(16) {
        // A member's name may look like an index. Then another leaf may have the path.
        assert!(structure.get(&path.join()).is_some(), "no leaf at the path of {leaf:?}");
    }
    assert_eq!(&structure.clone(), structure);
    drop(format!("{structure:?}"));
    let text = serde_json::to_vec(structure).expect("plain data");
    assert_eq!(&serde_json::from_slice::<Structure<T>>(&text).expect("what was written"), structure);
    let bytes = postcard::to_allocvec(structure).expect("plain data");
    assert_eq!(&postcard::from_bytes::<Structure<T>>(&bytes).expect("what was written"), structure);
}

//! Values of every kind of serde type, sent as payloads.

use std::collections::BTreeMap;

use cipherfold::federated::{
    channel::{Message, Payload},
    tensor::{Structure, TensorType},
};
use ndarray::{Array1, Array2, ArrayD};
use serde::{Serialize, de::DeserializeOwned};

use crate::same_bytes;

/// The first byte selects the type.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    match door % 16 {
        0 => read::<u64>(data),
        1 => read::<(i128, bool, Option<u16>)>(data),
        2 => read::<String>(data),
        3 => read::<Vec<f32>>(data),
        4 => read::<Array1<f32>>(data),
        5 => read::<Array2<i64>>(data),
        6 => read::<ArrayD<u8>>(data),
        7 => read::<BTreeMap<String, Array1<f32>>>(data),
        8 => read::<BTreeMap<u32, bool>>(data),
        9 => read::<Structure<ArrayD<f32>>>(data),
        10 => read::<Structure<TensorType>>(data),
        11 => read::<Structure<()>>(data),
        12 => read::<Vec<(Option<String>, Result<u8, i32>)>>(data),
        13 => read::<[char; 4]>(data),
        14 => read::<(f64, (Vec<Vec<u8>>, ()))>(data),
        _ => read::<BTreeMap<String, BTreeMap<String, Vec<i16>>>>(data),
    }
}

fn read<T: Serialize + DeserializeOwned + Send>(data: &[u8]) {
    if let Ok(value) = Payload::<T>::from_bytes(data) {
        same_bytes(&value.to_bytes().expect("what was read"), data);
    }
}

//! Update files: every file that opens is read completely, and written again.

use std::fs;

use cipherfold::files::{FloatType, Output, UpdateFile, common_metadata};

/// The bytes are the file.
pub fn run(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("update.safetensors");
    fs::write(&path, data).expect("room for a small file");
    let update = match UpdateFile::open(&path) {
        Ok(update) => update,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "control characters in an error: {text:?}");
            return;
        }
    };
    let out = folder.path().join("out.safetensors");
    let output = Output::check(&out, [&update]).expect("another name in the same folder");
    let metadata = common_metadata(&[update.clone(), update.clone()]);
    let mut writer = output.create(update.tensors(), &metadata).expect("room for a small file");
    for (i, tensor) in update.tensors().iter().enumerate() {
        // Values without a supported type (for example an unknown element type) are copied
        // unchanged.
        if tensor.float().is_some_and(|float| float == FloatType::F32) {
            let mut values = vec![0_f32; tensor.values()];
            let _ = update.reader().read_floats(i, 0, &mut values);
        }
        writer.next_tensor().expect("as many as there are");
        if writer.copy(&mut update.reader(), i).is_err() {
            return;
        }
    }
    writer.finish().expect("all tensors were written");
    let again = UpdateFile::open(&out).expect("what was written");
    assert_eq!(again.tensors().len(), update.tensors().len());
    assert!(again.floats::<f32>().is_ok() == update.floats::<f32>().is_ok());
}

//! Errors name the formats of other files.

use crate::support::{Setting, f32s, safetensors};

/// The beginning of a zip archive whose first file has this name.
fn zip(name: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    bytes.resize(26, 7);
    bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend([0x5a; 300]);
    bytes
}

#[test]
fn other_formats_are_named_with_a_remedy() {
    let good = safetensors(&[f32s("w", &[1], &[0.5])], None);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 98\n".to_vec();
    let cases: [(&str, Vec<u8>, &[&str]); 17] = [
        ("lfs.safetensors", pointer, &["a Git LFS pointer", "git lfs pull"]),
        (
            "index",
            br#"{"metadata": {}, "weight_map": {"w": "x"}}"#.to_vec(),
            &["index of a sharded model", ".json"],
        ),
        ("json", br#"{"error": "Repository not found"}"#.to_vec(), &["this is JSON"]),
        ("html", b"<!DOCTYPE html>\n<html><head><title>404".to_vec(), &["an HTML page"]),
        ("xml", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied".to_vec(), &["an XML document"]),
        ("text", b"Entry not found".to_vec(), &["a text file"]),
        ("model.pt", zip("archive/data.pkl"), &["a PyTorch checkpoint", "safetensors.torch"]),
        ("old.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M".to_vec(), &["a Python pickle"]),
        ("model.npz", zip("w.npy"), &["a NumPy .npz archive", "safetensors.numpy"]),
        ("w.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4'".to_vec(), &["a NumPy .npy array"]),
        ("letter.docx", zip("[Content_Types].xml"), &["a zip archive"]),
        ("model.gguf", b"GGUF\x03\0\0\0\x23\x01\0\0\0\0\0\0".to_vec(), &["a GGUF model"]),
        ("model.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08".to_vec(), &["an HDF5 file"]),
        ("a.safetensors.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), &["compressed with gzip", "unpack"]),
        ("empty", Vec::new(), &["an empty file"]),
        ("zeros", vec![0; 4096], &["nothing but zeros"]),
        ("noise", vec![0xe5; 100], &["its format is not known"]),
    ];
    let files: Vec<_> = cases.iter().map(|(name, bytes, _)| (*name, bytes.clone())).collect();
    let setting = Setting::new(&[files, vec![("good", good)]].concat());
    for (name, _, words) in cases {
        for args in [["good", name], [name, "good"]] {
            let message = setting.fails(1, &args);
            assert!(message.starts_with(&format!("error: {name}: no safetensors file: ")), "{message}");
            for word in words {
                assert!(message.contains(word), "{word} in {message}");
            }
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

//! Sharded models: an index beside its shards is one update.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Setting, deviation, f32s, i64s, number, safetensors, stderr, values};

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// Makes a directory with a sharded model and this map from tensors to shards.
fn sharded(setting: &Setting, directory: &str, x: f32, map: &Value) {
    let folder = setting.path(directory);
    fs::create_dir(&folder).unwrap();
    let first = [f32s("a", &[2], &[x, -x]), i64s("n", &[1], &[5])];
    fs::write(folder.join(SHARDS[0]), safetensors(&first, Some(&json!({ "format": "pt" })))).unwrap();
    let second = safetensors(&[f32s("b", &[1], &[x / 2.0])], Some(&json!({ "format": "pt" })));
    fs::write(folder.join(SHARDS[1]), second).unwrap();
    let index = json!({ "metadata": { "total_size": 20 }, "weight_map": map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn a_sharded_model_is_one_update() {
    let whole = [f32s("b", &[1], &[0.125]), f32s("a", &[2], &[0.25, 0.75]), i64s("n", &[1], &[5])];
    let setting = Setting::new(&[("whole", safetensors(&whole, Some(&json!({ "format": "pt" }))))]);
    let map = json!({ "a": SHARDS[0], "n": SHARDS[0], "b": SHARDS[1] });
    sharded(&setting, "one", 0.5, &map);
    sharded(&setting, "two", -0.25, &map);
    // By directory, by index, and beside a model in one file.
    let json = setting.json(&["one", "two/model.safetensors.index.json", "whole"]);
    assert_eq!((&json["clients"], &json["tensors"]), (&json!(3), &json!(3)));
    let bound = number(&json, "error_bound");
    for (name, expected) in [("a", vec![0.5 / 3.0, 0.5 / 3.0]), ("b", vec![(0.25 - 0.125 + 0.125) / 3.0])] {
        let found = values(&setting.path("mean"), name);
        assert!(found.iter().zip(&expected).all(|(x, y)| (x - y).abs() <= bound), "{name}: {found:?}");
    }
    // In either order.
    setting.json(&["whole", "two", "one"]);
    assert!(deviation(&setting, &[("mean", 1.0)], 1.0, "a") == 0.0);

    let message = setting.fails(1, &[&format!("one/{}", SHARDS[0]), &format!("one/{}", SHARDS[1])]);
    assert!(message.contains("for shards of one model, name their index"), "{message}");
    for out in ["one/model.safetensors.index.json", &format!("one/{}", SHARDS[1])] {
        for input in ["one", "one/model.safetensors.index.json"] {
            let output = setting.run(&["--out", out, input]);
            assert!(stderr(&output).contains("is not overwritten"), "{out}: {}", stderr(&output));
        }
    }
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused() {
    let setting = Setting::new(&[("outside.safetensors", safetensors(&[f32s("a", &[1], &[0.5])], None))]);
    for (number, (map, words)) in [
        (json!({ "a": SHARDS[0], "b": SHARDS[1] }), "tensor `n` is in this shard, but should not be"),
        (
            json!({ "a": SHARDS[0], "n": SHARDS[1], "b": SHARDS[1] }),
            "tensor `n` is in this shard, but should not be",
        ),
        (
            json!({ "a": SHARDS[0], "n": SHARDS[0], "b": SHARDS[1], "c": SHARDS[1] }),
            "tensor `c` is not in this shard, but should be",
        ),
        (json!({ "a": "../outside.safetensors" }), "does not lie beside its index"),
        (json!({ "a": setting.path("outside.safetensors") }), "does not lie beside its index"),
        (json!({ "a": "absent.safetensors" }), "absent.safetensors: "),
        (json!({}), "has no tensors"),
        (json!([1]), "no index of a sharded model"),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = format!("d{number}");
        sharded(&setting, &directory, 0.5, &map);
        let message = setting.fails(1, &[&format!("{directory}/model.safetensors.index.json")]);
        assert!(message.contains(words), "{map}: {message}");
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 98\n";
    fs::write(setting.path("model.safetensors.index.json"), pointer).unwrap();
    let message = setting.fails(1, &["model.safetensors.index.json"]);
    assert!(message.contains("this is a Git LFS pointer; run `git lfs pull`"), "{message}");
}

#[test]
fn directories_must_show_which_file_is_the_model() {
    let setting = Setting::new(&[]);
    let file =
        |name: &str| fs::write(setting.path(name), safetensors(&[f32s("a", &[1], &[0.5])], None)).unwrap();
    fs::create_dir(setting.path("d")).unwrap();
    assert!(setting.fails(1, &["d"]).contains("no safetensors file"));
    file("d/model.safetensors");
    assert!(setting.run(&["--quiet", "--out", "mean", "d"]).status.success());
    file("d/other.safetensors");
    assert!(setting.fails(1, &["d"]).contains("2 safetensors files and no index"));
}

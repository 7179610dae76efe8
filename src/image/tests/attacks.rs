//! Layouts and their archives that are wrong on purpose; archives wrong as tar are in `archives`.

use std::os::unix::fs::symlink;

use super::*;

/// The path of the blob whose document has `key`.
fn blob_with(files: &Files, key: &str) -> String {
    let has_key = |content: &&Vec<u8>| {
        let document = serde_json::from_slice::<Value>(content).unwrap_or_default();
        document.get(key).is_some()
    };
    let found = files
        .0
        .iter()
        .find(|(name, content)| name.starts_with("blobs") && has_key(content));
    found.unwrap().0.clone()
}

/// An image whose manifest is `change`d, with right digests all the way.
fn with_manifest(change: impl Fn(&mut Value)) -> Files {
    let (mut files, _) = one_layer();
    let old = files.0.remove(&blob_with(&files, "layers")).unwrap();
    let mut manifest = serde_json::from_slice(&old).unwrap();
    change(&mut manifest);
    let descriptor = files.document(MANIFEST, &manifest);
    files.index(&[descriptor]);
    files
}

fn cause_of_manifest(change: impl Fn(&mut Value)) -> String {
    let error = error_of_both(&with_manifest(change));
    let (start, cause) = error.split_once("\": ").unwrap();
    assert!(start.starts_with("\"IMAGE: blob sha256:"), "{error}");
    cause.to_owned()
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let (files, layer) = one_layer();
    let layer = Digest::sha256(&layer).blob_path();
    for name in [
        blob_with(&files, "layers"),
        blob_with(&files, "rootfs"),
        layer,
    ] {
        let length = files.0[&name].len();
        for at in [0, length / 2, length - 1] {
            let mut flipped = files.clone();
            flipped.0.get_mut(&name).unwrap()[at] ^= 1;
            let scratch = tempfile::tempdir().unwrap();
            let error = error_of(&flipped.write_archive(scratch.path()));
            assert!(error.contains(&name["blobs/sha256/".len()..]), "{error}");
            assert!(error.contains("its digest is sha256:"), "{error}");
        }
    }
}

#[test]
fn missing_and_trailing_bytes_are_refused() {
    let (files, layer) = one_layer();
    let layer = Digest::sha256(&layer).blob_path();
    for name in [
        blob_with(&files, "layers"),
        blob_with(&files, "rootfs"),
        layer,
    ] {
        let length = files.0[&name].len();
        let mut longer = files.clone();
        longer.0.get_mut(&name).unwrap().push(0);
        let end = format!("has {} bytes, its descriptor says {length}", length + 1);
        assert!(error_of_both(&longer).ends_with(&end));
        let mut shorter = files.clone();
        shorter.0.get_mut(&name).unwrap().pop();
        let end = format!("has {} bytes, its descriptor says {length}", length - 1);
        assert!(error_of_both(&shorter).ends_with(&end));
        let mut gone = files.clone();
        gone.0.remove(&name);
        let scratch = tempfile::tempdir().unwrap();
        let error = error_of(&gone.write_archive(scratch.path()));
        assert_eq!(
            error,
            format!("read archive \"IMAGE\": entry \"{name}\": is not there")
        );
    }
}

#[test]
fn digests_that_are_paths_or_odd_are_refused_before_use() {
    let upper = Digest::sha256(b"")
        .to_string()
        .to_uppercase()
        .replace("SHA", "sha");
    for odd in [
        "sha256:../../../etc/passwd",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        &upper,
        "",
    ] {
        let cause = cause_of_manifest(|manifest| manifest["layers"][0]["digest"] = json!(odd));
        assert!(cause.starts_with("layers[0].digest: digest \""), "{cause}");
        let cause = cause_of_manifest(|manifest| manifest["config"]["digest"] = json!(odd));
        assert!(cause.starts_with("config.digest: digest \""), "{cause}");
    }
}

#[test]
fn document_that_is_two_things_is_refused() {
    let cause = cause_of_manifest(|manifest| manifest["manifests"] = json!([]));
    assert_eq!(cause, "has both manifests and layers");
    let cause = cause_of_manifest(|manifest| {
        manifest["manifests"] = json!([]);
        manifest.as_object_mut().unwrap().remove("layers");
    });
    assert_eq!(cause, "has both manifests and config");
    let cause = cause_of_manifest(|manifest| manifest["Layers"] = json!([]));
    assert_eq!(cause, "key \"Layers\" where \"layers\" is meant");
    let cause = cause_of_manifest(|manifest| manifest["layers"][0]["Digest"] = json!("x"));
    assert_eq!(cause, "key \"Digest\" where \"digest\" is meant");
    let cause = cause_of_manifest(|manifest| {
        manifest.as_object_mut().unwrap().remove("layers");
    });
    assert_eq!(cause, "has neither manifests nor layers");
}

#[test]
fn wrong_media_types_are_refused() {
    let cause = cause_of_manifest(|manifest| manifest["mediaType"] = json!(INDEX));
    let own = format!("mediaType: \"{INDEX}\" and not \"{MANIFEST}\" as announced");
    assert_eq!(cause, own);
    let cause = cause_of_manifest(|manifest| manifest["config"]["mediaType"] = json!(LAYER));
    let own = format!("config.mediaType: \"{LAYER}\" is no image configuration");
    assert_eq!(cause, own);
    let cause = cause_of_manifest(|manifest| manifest["layers"][0]["mediaType"] = json!(CONFIG));
    assert_eq!(
        cause,
        format!("layers[0].mediaType: \"{CONFIG}\" is no layer")
    );
    let encrypted = format!("{LAYER}+encrypted");
    let cause = cause_of_manifest(|manifest| manifest["layers"][0]["mediaType"] = json!(encrypted));
    assert!(cause.ends_with("is an encrypted layer"));
    let cause = cause_of_manifest(|manifest| manifest["schemaVersion"] = json!(1));
    assert_eq!(cause, "schemaVersion: is not 2");
    let gzipped = format!("{LAYER}+gzip");
    let cause = cause_of_manifest(|manifest| manifest["layers"][0]["mediaType"] = json!(gzipped));
    assert_eq!(
        cause,
        format!("its content is not compressed, its media type \"{gzipped}\"")
    );
}

#[test]
fn index_announced_as_a_manifest_is_refused() {
    let mut files = Files::new();
    let inner = json!({"schemaVersion": 2, "manifests": []});
    let descriptor = files.document(MANIFEST, &inner);
    files.index(&[descriptor]);
    let error = error_of_both(&files);
    let end = format!("mediaType: \"{MANIFEST}\" for an index");
    assert!(error.ends_with(&end), "{error}");
}

#[test]
fn numbers_of_layers_are_compared_and_limited() {
    let cause = cause_of_manifest(|manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!([layer, layer]);
    });
    assert_eq!(cause, "rootfs.diff_ids: 1 for 2 layers");
    let cause = cause_of_manifest(|manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!(vec![layer; 501]);
    });
    assert_eq!(cause, "layers: 501 layers, 500 allowed");
    let cause = cause_of_manifest(|manifest| manifest["layers"][0]["size"] = json!(-1));
    assert!(cause.starts_with("layers[0].size: "), "{cause}");
}

#[test]
fn duplicate_keys_are_refused_in_every_document() {
    let double = |name: &str| {
        let (mut files, _) = one_layer();
        let name = match name {
            "index.json" | "oci-layout" => name.to_owned(),
            key => blob_with(&files, key),
        };
        let text = String::from_utf8(files.0[&name].clone()).unwrap();
        let (key, _) = text[1..].split_once(':').unwrap();
        let text = format!("{{{key}:0,{}", &text[1..]);
        if !name.starts_with("blobs") {
            files.0.insert(name, text.into_bytes());
        } else if text.contains("layers\":[") {
            let descriptor = files.blob(MANIFEST, text.as_bytes());
            files.index(&[descriptor]);
        } else {
            let config = files.blob(CONFIG, text.as_bytes());
            return error_of_both(&with_config(files, &config));
        }
        error_of_both(&files)
    };
    for name in ["index.json", "oci-layout", "layers", "rootfs"] {
        let error = double(name);
        assert!(error.contains("is there twice"), "{name}: {error}");
    }
}

fn with_config(mut files: Files, config: &Value) -> Files {
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
    let descriptor = files.document(MANIFEST, &manifest);
    files.index(&[descriptor]);
    files
}

#[test]
fn documents_have_a_limit() {
    let (mut files, _) = one_layer();
    files
        .0
        .get_mut("index.json")
        .unwrap()
        .extend(vec![b' '; 4 << 20]);
    let error = error_of_both(&files);
    assert!(
        error.starts_with("\"IMAGE: index.json\": has 41"),
        "{error}"
    );
    assert!(
        error.ends_with("bytes, 4194304 are allowed for a document"),
        "{error}"
    );
    let big = vec![b' '; (4 << 20) + 1];
    let config = files.blob(CONFIG, &big);
    let files = with_config(one_layer_with(&files), &config);
    let error = error_of_both(&files);
    assert!(
        error.ends_with("has 4194305 bytes, 4194304 are allowed for a document"),
        "{error}"
    );
    let deep = "[".repeat(200_000);
    let mut files = Files::new();
    files.0.insert("index.json".into(), deep.into_bytes());
    assert!(error_of_both(&files).contains("recursion limit"));
}

/// The blobs of `files` under a right index.
fn one_layer_with(files: &Files) -> Files {
    let (mut right, _) = one_layer();
    for (name, content) in files.0.iter().filter(|(name, _)| name.starts_with("blobs")) {
        right.0.insert(name.clone(), content.clone());
    }
    right
}

#[test]
fn indexes_are_nested_four_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let mut files = Files::new();
        let mut inner = files.image("amd64", &[(LAYER, b"x")]);
        for _ in 0..depth {
            let index = json!({"schemaVersion": 2, "manifests": [inner]});
            inner = files.document(INDEX, &index);
        }
        files.index(&[inner]);
        files
    };
    let scratch = tempfile::tempdir().unwrap();
    assert!(open(&nested(4).write_archive(scratch.path())).is_ok());
    let error = error_of_both(&nested(5));
    assert!(
        error.ends_with("is an index inside 4 others, the most allowed"),
        "{error}"
    );
}

#[test]
fn index_that_repeats_itself_does_not_take_for_ever() {
    let mut files = Files::new();
    let mut inner = files.image("amd64", &[]);
    for _ in 0..4 {
        let index = json!({"schemaVersion": 2, "manifests": vec![inner; 1000]});
        inner = files.document(INDEX, &index);
    }
    files.index(&[inner]);
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&files.write_archive(scratch.path())).unwrap();
    assert_eq!(image.layers.len(), 0);
    let manifest = files.image("amd64", &[]);
    files.index(&vec![manifest; 4097]);
    assert_eq!(
        error_of_both(&files),
        "\"IMAGE: index.json\": lists 4097 manifests, 4096 allowed"
    );
}

#[test]
fn layout_leads_nowhere_outside_and_to_regular_files_only() {
    let canary = tempfile::NamedTempFile::new().unwrap();
    let (files, _) = one_layer();
    let at = |name: &str, make: &dyn Fn(&Path)| {
        let scratch = tempfile::tempdir().unwrap();
        let path = files.write_directory(scratch.path());
        fs::remove_file(path.join(name)).unwrap();
        make(&path.join(name));
        error_of(&path)
    };
    let config = blob_with(&files, "rootfs");
    for name in ["index.json", &config] {
        let error = at(name, &|path| symlink(canary.path(), path).unwrap());
        assert_eq!(
            error,
            format!("read \"IMAGE: {name}\": leads out of the image")
        );
        let error = at(name, &|path| {
            symlink("../../../../../../etc/passwd", path).unwrap();
        });
        assert_eq!(
            error,
            format!("read \"IMAGE: {name}\": leads out of the image")
        );
        let error = at(name, &|path| fs::create_dir(path).unwrap());
        assert_eq!(error, format!("read \"IMAGE: {name}\": not a regular file"));
        let mode = nix::sys::stat::Mode::S_IRUSR;
        let error = at(name, &|path| nix::unistd::mkfifo(path, mode).unwrap());
        assert_eq!(error, format!("read \"IMAGE: {name}\": not a regular file"));
        let error = at(name, &|path| symlink("none", path).unwrap());
        assert!(error.contains("(ENOENT)"), "{error}");
    }
}

#[test]
fn layout_of_another_version_is_refused() {
    let (mut files, _) = one_layer();
    files.set("oci-layout", &json!({"imageLayoutVersion": "2.0.0"}));
    assert_eq!(
        error_of_both(&files),
        "\"IMAGE: oci-layout\": imageLayoutVersion: \"2.0.0\" is not \"1.0.0\""
    );
}

#[test]
fn many_wrong_images_leave_no_descriptor_open() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (mut files, layer) = one_layer();
    files
        .0
        .get_mut(&Digest::sha256(&layer).blob_path())
        .unwrap()[9] ^= 1;
    let scratch = tempfile::tempdir().unwrap();
    let path = files.write_directory(scratch.path());
    let before = count();
    for _ in 0..500 {
        error_of(&path);
    }
    // Other tests run in the same process.
    assert!(count() < before + 250);
}

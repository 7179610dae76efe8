//! Right images in every form, and the choice of one.

use std::os::unix::fs::symlink;

use super::*;

fn form_of(content: &[u8]) -> std::result::Result<Form, String> {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    fs::write(scratch.path(), content).unwrap();
    Form::detect(scratch.path()).map_err(|e| {
        let hint = e.try_this().unwrap_or_default();
        format!("{e} | {hint}").replace(scratch.path().to_str().unwrap(), "IMAGE")
    })
}

#[test]
fn layout_and_archive_give_the_same_image() {
    let (files, layer) = one_layer();
    let scratch = tempfile::tempdir().unwrap();
    let layout = open(&files.write_directory(&scratch.path().join("layout"))).unwrap();
    let archive = open(&files.write_archive(scratch.path())).unwrap();
    assert_eq!(
        (layout.form, archive.form),
        (Form::Layout, Form::OciArchive)
    );
    for image in [&layout, &archive] {
        assert_eq!(image.config.config.cmd, ["/sh"]);
        assert_eq!(image.layers.len(), 1);
        assert_eq!(image.layers[0].digest, Some(Digest::sha256(&layer)));
        assert_eq!(image.layers[0].diff_id, Some(Digest::sha256(&layer)));
        assert_eq!(image.layers[0].size, Some(layer.len() as u64));
        assert_eq!(image.layers[0].compression, Compression::None);
        assert_eq!(image.layers[0].media_type.as_deref(), Some(LAYER));
        assert_eq!(read(image, 0).unwrap(), layer);
        assert!(image.read_layer(1).is_err());
    }
    assert_eq!(layout.digest, archive.digest);
    assert_eq!(layout.manifest, archive.manifest);
    assert_eq!(layout.layers, archive.layers);
}

#[test]
fn archive_whose_names_begin_with_a_dot_is_the_same() {
    let (files, layer) = one_layer();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in &files.0 {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..2].copy_from_slice(b"./");
        header.as_old_mut().name[2..2 + name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, &content[..]).unwrap();
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("image");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    assert_eq!(read(&open(&path).unwrap(), 0).unwrap(), layer);
}

#[test]
fn compressed_layers_are_known_by_type_and_content() {
    let layer = root_tar();
    let (gz, zst) = (gzip(&layer), zstd(&layer));
    let mut files = Files::new();
    let manifest = files.image(
        "amd64",
        &[
            ("application/vnd.oci.image.layer.v1.tar+gzip", &gz),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", &gz),
            ("application/vnd.oci.image.layer.v1.tar+zstd", &zst),
            (LAYER, &layer),
        ],
    );
    files.index(&[manifest]);
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&files.write_archive(scratch.path())).unwrap();
    let found: Vec<Compression> = image.layers.iter().map(|layer| layer.compression).collect();
    use Compression::{Gzip, None, Zstd};
    assert_eq!(found, [Gzip, Gzip, Zstd, None]);
    assert_eq!(read(&image, 2).unwrap(), zst);
}

#[test]
fn layers_of_one_image_are_read_at_the_same_time() {
    let contents: Vec<Vec<u8>> = (0..8).map(|i| vec![i; 300_000]).collect();
    let layers: Vec<(&str, &[u8])> = contents.iter().map(|c| (LAYER, &c[..])).collect();
    let mut files = Files::new();
    let manifest = files.image("amd64", &layers);
    files.index(&[manifest]);
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&files.write_archive(scratch.path())).unwrap();
    std::thread::scope(|scope| {
        for (i, content) in contents.iter().enumerate() {
            let image = &image;
            scope.spawn(move || assert_eq!(read(image, i).unwrap(), *content));
        }
    });
}

#[test]
fn root_filesystem_is_known_in_every_wrapping() {
    let tar = root_tar();
    assert_eq!(form_of(&tar), Ok(Form::RootTar));
    assert_eq!(form_of(&gzip(&tar)), Ok(Form::RootTar));
    assert_eq!(form_of(&zstd(&tar)), Ok(Form::RootTar));
    let scratch = tempfile::tempdir().unwrap();
    for (name, content, compression) in [
        ("a", tar.clone(), Compression::None),
        ("b", gzip(&tar), Compression::Gzip),
        ("c", zstd(&tar), Compression::Zstd),
    ] {
        let path = scratch.path().join(name);
        fs::write(&path, &content).unwrap();
        let image = open(&path).unwrap();
        assert_eq!((image.digest.as_ref(), image.layers.len()), (None, 1));
        assert_eq!(image.layers[0].compression, compression);
        assert_eq!(read(&image, 0).unwrap(), content);
    }
    let directory = open(scratch.path()).unwrap();
    assert_eq!(
        (directory.form, directory.layers.len()),
        (Form::Directory, 0)
    );
    assert!(Image::open_named(scratch.path(), &amd64(), Some("x")).is_err());
}

#[test]
fn root_filesystem_with_files_that_images_have_is_still_one() {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "app/run", b"x");
    append(&mut tar, "manifest.json", b"{\"name\": \"web app\"}");
    assert_eq!(form_of(&tar.into_inner().unwrap()), Ok(Form::RootTar));
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "etc/passwd", b"");
    append(&mut tar, "oci-layout", b"");
    assert_eq!(form_of(&tar.into_inner().unwrap()), Ok(Form::RootTar));
}

#[test]
fn what_is_no_image_says_so() {
    let cause = |content: &[u8]| form_of(content).unwrap_err();
    assert_eq!(cause(b""), "open image \"IMAGE\": is empty | ");
    let not_tar = "open image \"IMAGE\": neither a directory nor a tar archive | ";
    assert_eq!(cause(b"hello"), not_tar);
    assert_eq!(cause(&[b'x'; 2048]), not_tar);
    assert!(cause(b"\xfd7zXZ\0....").contains("compressed by xz"));
    let (files, _) = one_layer();
    assert_eq!(
        cause(&gzip(&files.tar())),
        "open image \"IMAGE\": an image archive inside gzip | decompress it first: gzip -d"
    );
    assert!(cause(&zstd(&files.tar())).contains("an image archive inside zstd"));
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = Form::detect(&fifo).unwrap_err().to_string();
    assert!(error.ends_with("neither a directory nor a regular file"));
    let error = Form::detect(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "open image \"/dev/zero\": neither a directory nor a regular file"
    );
    let error = Form::detect(Path::new("/none")).unwrap_err();
    assert!(error.to_string().contains("(ENOENT)"));
}

#[test]
fn platform_is_chosen_through_nested_indexes() {
    let mut files = Files::new();
    let (arm, amd) = (root_tar(), gzip(b"x"));
    let gz = "application/vnd.oci.image.layer.v1.tar+gzip";
    let mut one = files.image("arm64", &[(LAYER, &arm)]);
    one["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let mut other = files.image("amd64", &[(gz, &amd)]);
    other["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut attestation = files.image("amd64", &[]);
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    // Its blob is not there, as in archives that hold one platform of many.
    let absent = json!({"mediaType": MANIFEST, "digest": Digest::sha256(b"absent"), "size": 6,
        "platform": {"os": "linux", "architecture": "s390x"}});
    let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, absent, one, other]});
    let mut inner = files.document(INDEX, &inner);
    let inner_digest: Digest = inner["digest"].as_str().unwrap().parse().unwrap();
    inner["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    files.index(&[inner]);
    let scratch = tempfile::tempdir().unwrap();
    let path = files.write_archive(scratch.path());
    let open = |platform: &str| Image::open(&path, &platform.parse().unwrap());
    assert_eq!(
        open("linux/arm64").unwrap().layers[0].compression,
        Compression::None
    );
    let image = open("linux/amd64").unwrap();
    assert_eq!(image.layers[0].compression, Compression::Gzip);
    assert_eq!(image.names, ["latest"]);
    assert_eq!(image.through, [inner_digest]);
    let error = open("linux/riscv64").unwrap_err();
    assert!(
        error.to_string().ends_with(
            "has nothing for linux/riscv64, only for linux/amd64, linux/arm64, linux/s390x"
        ),
        "{error}"
    );
    let error = open("linux/s390x").unwrap_err().to_string();
    assert!(error.ends_with(": is not there"), "{error}");
}

#[test]
fn image_for_another_platform_is_refused() {
    let mut files = Files::new();
    let manifest = files.image("arm64", &[]);
    files.index(&[manifest]);
    assert_eq!(
        error_of_both(&files),
        "image \"IMAGE\": is made for linux/arm64, not for linux/amd64"
    );
}

#[test]
fn attachments_are_no_images_and_several_images_need_a_name() {
    let mut files = Files::new();
    let named = |mut descriptor: Value, name: &str| {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        descriptor
    };
    let layer = root_tar();
    let one = files.image("amd64", &[(LAYER, &layer)]);
    let digest = one["digest"].as_str().unwrap().replace(':', "-");
    let signature = named(
        files.image("amd64", &[(LAYER, b"sig")]),
        &format!("{digest}.sig"),
    );
    let config = files.blob("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [], "subject": one});
    let bundle = files.document(MANIFEST, &manifest);
    let mut marked = bundle.clone();
    marked["artifactType"] = json!("application/vnd.dev.sigstore.bundle.v0.3+json");
    let one = named(one, "one");
    let mut list = vec![signature, bundle, marked, one.clone(), named(one, "uno")];
    files.index(&list);
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&files.write_archive(scratch.path())).unwrap();
    assert_eq!(image.names, ["one", "uno"]);
    assert_eq!(read(&image, 0).unwrap(), layer);
    list.push(named(
        files.image("amd64", &[(LAYER, b"two")]),
        "docker.io/library/two:1",
    ));
    files.index(&list);
    let path = files.write_archive(scratch.path());
    let error = open(&path).unwrap_err();
    assert!(error.to_string().ends_with(": holds more than one image"));
    assert_eq!(
        error.try_this(),
        Some(r#"name one of "docker.io/library/two:1", "one", "uno""#)
    );
    let by_name = |name: &str| Image::open_named(&path, &amd64(), Some(name));
    assert_eq!(read(&by_name("uno").unwrap(), 0).unwrap(), layer);
    assert_eq!(read(&by_name("two:1").unwrap(), 0).unwrap(), b"two");
    assert_eq!(read(&by_name("library/two:1").unwrap(), 0).unwrap(), b"two");
    let error = by_name("wo:1").unwrap_err().to_string();
    assert!(error.ends_with(": has no \"wo:1\""), "{error}");
}

/// The configuration and the layers of an old docker archive, with file names as given.
fn saved(config_name: &str, layers: &[&str], diff_ids: &[Digest]) -> (String, Value, String) {
    let config = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string();
    let hex = Digest::sha256(config.as_bytes()).encoded().to_owned();
    let name = config_name.replace("HEX", &hex);
    let list = json!([{"Config": name, "RepoTags": ["busybox:1"], "Layers": layers}]);
    (name, list, config)
}

#[test]
fn old_docker_archive_is_read_with_its_links() {
    let layer = root_tar();
    let (a, b) = ("a1".repeat(32), "b2".repeat(32));
    let names = [format!("{a}/layer.tar"), format!("{b}/layer.tar")];
    let ids = [Digest::sha256(&layer), Digest::sha256(&layer)];
    let (config_name, list, config) = saved("HEX.json", &[&names[0], &names[1]], &ids);
    let make = |link: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, &names[0], &layer);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, &names[1], link).unwrap();
        append(&mut tar, &config_name, config.as_bytes());
        append(&mut tar, "manifest.json", list.to_string().as_bytes());
        append(&mut tar, "repositories", b"{}");
        let scratch = tempfile::NamedTempFile::new().unwrap();
        fs::write(scratch.path(), tar.into_inner().unwrap()).unwrap();
        scratch
    };
    let right = make(&format!("../{}", names[0]));
    let image = open(right.path()).unwrap();
    assert_eq!((image.form, &image.digest), (Form::DockerArchive, &None));
    assert_eq!(image.config_digest, Some(Digest::sha256(config.as_bytes())));
    assert_eq!(image.names, ["busybox:1"]);
    assert_eq!(read(&image, 0).unwrap(), layer);
    assert_eq!(read(&image, 1).unwrap(), layer);
    assert!(Image::open_named(right.path(), &amd64(), Some("busybox:2")).is_err());
    for wrong in [
        "/etc/passwd",
        "../manifest.json",
        "../../x/layer.tar",
        "layer.tar",
    ] {
        let error = error_of(make(wrong).path());
        let end = format!("is a link to \"{wrong}\", not a layer's");
        assert!(error.ends_with(&end), "{error}");
    }
    let loop_error = error_of(make(&format!("../{}", names[1])).path());
    assert!(
        loop_error.ends_with("is a symbolic link, not a file"),
        "{loop_error}"
    );
}

#[test]
fn docker_archive_with_compressed_layers_and_a_changed_one() {
    let layer = root_tar();
    let id = Digest::sha256(&layer);
    let name = format!("{}.tar", id.encoded());
    let (config_name, list, config) = saved("HEX.json", &[&name], &[id]);
    let make = |content: &[u8], config: &str| {
        let mut files = Files::default();
        files.0.insert(name.clone(), content.to_vec());
        files
            .0
            .insert(config_name.clone(), config.as_bytes().to_vec());
        files.set("manifest.json", &list);
        files
    };
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&make(&gzip(&layer), &config).write_archive(scratch.path())).unwrap();
    assert_eq!(image.layers[0].compression, Compression::Gzip);
    assert_eq!(image.layers[0].digest, None);
    let mut flipped = layer.clone();
    flipped[600] ^= 1;
    let error = error_of(&make(&flipped, &config).write_archive(scratch.path()));
    assert!(
        error.contains("layer 0, ") && error.contains("its digest is sha256:"),
        "{error}"
    );
    let changed = config.replace("amd64", "amd65");
    let error = error_of(&make(&layer, &changed).write_archive(scratch.path()));
    assert!(error.contains(".json\": its digest is sha256:"), "{error}");
}

#[test]
fn new_docker_archive_is_read_as_a_layout_once_both_lists_agree() {
    let (mut files, layer) = one_layer();
    let manifest: Value = files
        .0
        .values()
        .filter_map(|content| serde_json::from_slice::<Value>(content).ok())
        .find(|document| document["layers"].is_array())
        .unwrap();
    let path = |descriptor: &Value| {
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        digest.blob_path()
    };
    let config = path(&manifest["config"]);
    let own = path(&manifest["layers"][0]);
    let list =
        json!([{"Config": config, "RepoTags": ["a:1"], "Layers": [own], "LayerSources": {}}]);
    files.set("manifest.json", &list);
    let scratch = tempfile::tempdir().unwrap();
    let image = open(&files.write_archive(scratch.path())).unwrap();
    assert_eq!(
        (image.form, &*image.names),
        (Form::DockerArchive, &["a:1".to_owned()][..])
    );
    assert!(image.digest.is_some());
    assert_eq!(read(&image, 0).unwrap(), layer);
    files.set(
        "manifest.json",
        &json!([{"Config": config, "Layers": [own, own]}]),
    );
    let error = error_of(&files.write_archive(scratch.path()));
    assert_eq!(
        error,
        "\"IMAGE: manifest.json\": gives the image other layers than index.json"
    );
    files.set("manifest.json", &json!([{"Config": own, "Layers": []}]));
    let error = error_of(&files.write_archive(scratch.path()));
    assert_eq!(
        error,
        "\"IMAGE: manifest.json\": does not have the image that index.json has"
    );
}

#[test]
fn layout_of_links_inside_itself_is_read() {
    let (files, layer) = one_layer();
    let scratch = tempfile::tempdir().unwrap();
    let path = files.write_directory(scratch.path());
    fs::rename(path.join("index.json"), path.join("real")).unwrap();
    symlink("real", path.join("index.json")).unwrap();
    assert_eq!(read(&open(&path).unwrap(), 0).unwrap(), layer);
}

#[test]
fn directory_with_a_layout_file_that_cannot_be_read_is_no_root_filesystem() {
    let scratch = tempfile::tempdir().unwrap();
    symlink("/none", scratch.path().join("oci-layout")).unwrap();
    assert_eq!(Form::detect(scratch.path()).unwrap(), Form::Layout);
    assert_eq!(
        error_of(scratch.path()),
        "read \"IMAGE: oci-layout\": leads out of the image"
    );
}

#[test]
fn layout_by_umoci_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    let umoci = |arguments: &[&str]| {
        let mut command = std::process::Command::new("umoci");
        let ended = command.args(arguments).current_dir(scratch.path()).status();
        ended.is_ok_and(|status| status.success())
    };
    if !umoci(&["--version"]) {
        eprintln!("skipped: umoci is not installed");
        return;
    }
    for arguments in [
        &["init", "--layout", "image"][..],
        &["new", "--image", "image:one"],
        &["insert", "--image", "image:one", "root", "/r"],
        &[
            "config",
            "--image",
            "image:one",
            "--config.cmd=/r/file",
            "--config.env=A=b",
        ],
    ] {
        assert!(umoci(arguments), "{arguments:?}");
    }
    let host = Platform::host();
    let image = Image::open(&scratch.path().join("image"), &host).unwrap();
    assert_eq!(
        (image.form, &*image.names),
        (Form::Layout, &["one".to_owned()][..])
    );
    assert_eq!(image.config.config.cmd, ["/r/file"]);
    assert!(image.config.config.env.contains(&"A=b".to_owned()));
    assert_eq!(image.layers[0].compression, Compression::Gzip);
    let mut tar = Vec::new();
    let stored = image.read_layer(0).unwrap();
    flate2::read::MultiGzDecoder::new(stored)
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(Some(Digest::sha256(&tar)), image.layers[0].diff_id);
}

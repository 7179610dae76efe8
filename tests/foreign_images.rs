//! Images that other programs make, in each of the forms, unpack to the tree that umoci unpacks.
//! Not here: images made by code, right or hostile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Bundle, Facts, Tree, differences, installed, skip, tree};

pub(crate) mod content;
pub(crate) mod tools;

use content::{debian, first_layer, opaque_layer, second_layer};
use tools::{Tools, forms};

/// The tree that `stockade unpack` makes of an image, and what it warns of.
fn unpacked(bundle: &Bundle, image: &Path) -> (Tree, String) {
    let target = bundle.temp().join("unpacked");
    let call = bundle.call(&["unpack"]).arg(image).arg(&target);
    let out = call.limit(Duration::from_secs(300)).output();
    out.ok();
    let tree = tree(&target.join("rootfs"));
    let has_privileges = |(path, facts): (&PathBuf, &Facts)| {
        let is_set_id = facts.kind != "directory" && facts.mode & 0o6000 != 0;
        let has = is_set_id || facts.attributes.contains_key("security.capability");
        has.then(|| path.clone())
    };
    let privileged: Vec<_> = tree.iter().filter_map(has_privileges).collect();
    assert!(privileged.is_empty(), "{privileged:?}");
    fs::remove_dir_all(&target).unwrap();
    (tree, out.stderr)
}

/// Without the differences that are meant, and without what umoci does in its own way:
/// - set-id bits of what is no directory and file capabilities give privileges, so that unpacking takes them off;
/// - umoci gives a root that no layer describes the time 0, stockade leaves the time at which it was made;
/// - umoci leaves out attributes with an empty value, since Go's reader does.
fn comparable(mut tree: Tree) -> Tree {
    for facts in tree.values_mut() {
        if facts.kind != "directory" {
            facts.mode &= 0o1777;
        }
        let attributes = &mut facts.attributes;
        attributes.retain(|name, value| name != "security.capability" && !value.is_empty());
    }
    tree
}

/// Asserts that each form of the image in the layout `image` unpacks to the tree that umoci makes of it.
#[track_caller]
fn assert_all_forms_unpack_alike(bundle: &Bundle, tools: &Tools, image: &str) -> Tree {
    let theirs = tools.unpacked_by_umoci(image);
    let expected = comparable(tree(&theirs));
    let is_root_described = expected[Path::new("")].mtime != (0, 0);
    let mut all = Vec::new();
    for (form, path) in forms(tools, image, &theirs) {
        let (ours, warnings) = unpacked(bundle, &path);
        let mut ours = comparable(ours);
        if !is_root_described {
            ours.get_mut(Path::new("")).unwrap().mtime = (0, 0);
        }
        let differences = differences(&ours, &expected).into_iter();
        all.extend(differences.map(|difference| format!("{form}: {difference}")));
        let only = "set-id bits and file capabilities were taken off";
        assert!(
            warnings.lines().all(|line| line.ends_with(only)),
            "{form}: {warnings}"
        );
        // The archives of a distribution are large.
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    assert!(all.is_empty(), "{all:#?}");
    expected
}

#[test]
fn layers_of_umoci_unpack_alike_from_every_form() {
    let bundle = Bundle::new();
    let Some(tools) = Tools::new(&bundle, &["umoci", "skopeo", "tar", "zstd"]) else {
        return;
    };
    let root = tools.begin("umoci");
    first_layer(&root);
    tools.commit("umoci");
    second_layer(&root);
    tools.commit("umoci");
    opaque_layer(&tools.path("opaque"));
    let image = tools.name("umoci");
    let opaque = tools.path("opaque");
    tools.umoci(&[
        "insert",
        "--image",
        &image,
        "--opaque",
        opaque.to_str().unwrap(),
        "/hidden",
    ]);
    tools.umoci(&["insert", "--image", &image, "--whiteout", "/gone-by-name"]);

    let tree = assert_all_forms_unpack_alike(&bundle, &tools, "umoci");
    content::assert_final(&tree);
}

#[test]
fn layers_of_buildah_unpack_alike_from_every_form() {
    let bundle = Bundle::new();
    let Some(tools) = Tools::new(&bundle, &["umoci", "skopeo", "buildah", "tar", "zstd"]) else {
        return;
    };
    tools.build("buildah", &[first_layer, second_layer]);
    assert_all_forms_unpack_alike(&bundle, &tools, "buildah");
}

#[test]
fn debian_unpacks_alike_from_every_form_and_runs_confined() {
    let bundle = Bundle::new().profile(None);
    let Some(tools) = Tools::new(&bundle, &["umoci", "skopeo", "tar", "zstd"]) else {
        return;
    };
    let archive = match debian() {
        Ok(archive) => archive,
        Err(reason) => return skip(&reason),
    };
    tools.umoci(&["init", "--layout", tools.layout("debian").to_str().unwrap()]);
    let image = tools.name("debian");
    tools.umoci(&["new", "--image", &image]);
    tools.umoci(&[
        "raw",
        "add-layer",
        "--image",
        &image,
        archive.to_str().unwrap(),
    ]);
    let settings = [
        "--config.cmd=cat",
        "--config.cmd=/etc/os-release",
        "--config.user=nobody",
    ];
    tools.umoci(&[&["config", "--image", &image], &settings[..]].concat());

    let layout = tools.layout("debian");
    let run = |words: &[&str]| {
        let call = bundle.call(&["launch"]).arg(&layout).args(words);
        call.limit(Duration::from_secs(300)).output()
    };
    let release = run(&[]);
    assert!(release.ok().contains("\nID=debian\n"), "{release:#?}");
    let status = run(&[
        "--",
        "grep",
        "-E",
        "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):",
        "/proc/self/status",
    ]);
    let expected = "Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:\t \n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    assert_eq!(status.ok(), expected);
    bundle.assert_clean();

    let tree = assert_all_forms_unpack_alike(&bundle, &tools, "debian");
    assert!(tree.len() > 3000, "{}", tree.len());
}

#[test]
fn root_filesystem_as_a_directory_runs_as_it_is_and_is_not_unpacked() {
    let bundle = Bundle::new().profile(None);
    let root = bundle.rootfs();
    let before = tree(&root);
    let target: PathBuf = bundle.temp().join("unpacked");
    let out = bundle.call(&["unpack"]).arg(&root).arg(&target).output();
    out.refused(&["it is a directory"]);
    let call = bundle.call(&["launch"]).arg(&root);
    assert_eq!(
        call.args(["--", "echo", "it runs"]).output().ok(),
        "it runs\n"
    );
    assert_eq!(differences(&tree(&root), &before), Vec::<String>::new());
    bundle.assert_clean();
}

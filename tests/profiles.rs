//! The built-in profiles: their filters, and their files.

use stockade::profile::{Facts, Profile, tighten};
use stockade::seccomp;
use stockade::spec::hardened_default;

#[test]
fn every_filter_of_a_profile_compiles_without_a_warning() {
    for name in Profile::names() {
        let profile = Profile::builtin(name).unwrap();
        let tightened =
            tighten(&hardened_default(None), &profile, &Facts::read().unwrap()).unwrap();
        if let Some(filter) = tightened.filter {
            assert_eq!(
                seccomp::compile(&filter).unwrap().warnings,
                Vec::<String>::new(),
                "{name}"
            );
        }
    }
}

#[test]
fn profiles_in_the_tree_are_those_in_the_binary() {
    for name in Profile::names() {
        let path = format!("{}/profiles/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            Profile::builtin_text(name).unwrap()
        );
    }
}

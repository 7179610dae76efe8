//! What `parse` says of text that is no config.json, and of the specification's own fixtures.

use std::path::Path;

use super::*;

fn error_of(text: &[u8]) -> String {
    parse(text, "b/config.json").unwrap_err().to_string()
}

#[test]
#[rustfmt::skip]
fn degenerate_text_gets_one_line_with_field_and_place() {
    let table: [(&[u8], &str); 25] = [
        (b"", r#""b/config.json": is empty"#),
        (b" \n", r#""b/config.json": is empty"#),
        (b"\xef\xbb\xbf{}", r#""b/config.json": begins with a byte order mark"#),
        (b"{\"\xff\": 1}", r#""b/config.json": is not UTF-8 at byte 2"#),
        (b"null", r#""b/config.json": invalid type: null, expected struct Config at line 1 column 4"#),
        (b"[]", r#""b/config.json": invalid length 0, expected struct Config with 9 elements at line 1 column 2"#),
        (br#"["1.0.0"]"#, r#""b/config.json": expected an object"#),
        (br#""x""#, r#""b/config.json": invalid type: string "x", expected struct Config at line 1 column 3"#),
        (b"{}", r#""b/config.json": missing field `ociVersion` at line 1 column 2"#),
        (br#"{"ociVersion": "1.0.0",}"#, r#""b/config.json": trailing comma at line 1 column 24"#),
        (br#"{"ociVersion": "1.0.0"} x"#, r#""b/config.json": trailing characters at line 1 column 25"#),
        (br#"{"ociVersion": "1.0.0", "ociVersion": "1.0.0"}"#, r#""b/config.json": key "ociVersion" is there twice at line 1 column 36"#),
        (br#"{"ociVersion": "1.0.0", "x": [{"a\u001b": 1, "a\u001b": 2}]}"#, r#""b/config.json": x[0]: key "a\u{1b}" is there twice at line 1 column 54"#),
        (br#"{"ociVersion": "1.0.0", "annotations": {"a": "1", "a": "2"}}"#, r#""b/config.json": annotations: key "a" is there twice at line 1 column 53"#),
        (br#"{"ociVersion": null}"#, r#""b/config.json": missing field `ociVersion`"#),
        (br#"{"ociVersion": "1.0.0", "mounts": [null]}"#, r#""b/config.json": mounts[0]: invalid type: null, expected struct Mount at line 1 column 39"#),
        (br#"{"ociVersion": "1.0.0", "hostname": null, "annotations": {"a": null}}"#, r#""b/config.json": annotations.a: invalid type: null, expected a string"#),
        (br#"{"ociVersion": "1.0.0", "annotations": {"a": "x\u0000"}}"#, r#""b/config.json": annotations.a: "x\u{0}" contains NUL at line 1 column 54"#),
        (br#"{"ociVersion": "1.0.0", "annotations": {"a\u0000": "x"}}"#, r#""b/config.json": annotations: key "a\u{0}" contains NUL at line 1 column 49"#),
        (br#"{"ociVersion": "1.0.0", "root": ["rootfs"]}"#, r#""b/config.json": root: expected an object"#),
        (br#"{"ociVersion": "1.0.0", "linux": {"namespaces": [{"type": {"pid": null}}]}}"#, r#""b/config.json": linux.namespaces[0].type: invalid value: map, expected map with a single key"#),
        (br#"{"ociVersion": "1.0.0", "linux": {"namespaces": [{"type": "pid"}, {"type": "x\u001b"}]}}"#, r#""b/config.json": linux.namespaces[1].type: unknown variant `x\u{1b}`, expected one of `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time` at line 1 column 84"#),
        (br#"{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["x"], "user": {"uid": -1, "gid": 0}}}"#, r#""b/config.json": process.user.uid: invalid value: integer `-1`, expected u32 at line 1 column 81"#),
        (br#"{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["x"], "user": {"uid": 4294967296, "gid": 0}}}"#, r#""b/config.json": process.user.uid: invalid value: integer `4294967296`, expected u32 at line 1 column 89"#),
        (br#"{"ociVersion": "1.0.0", "root": {}}"#, r#""b/config.json": root: missing field `path` at line 1 column 34"#),
    ];
    for (text, error) in table {
        assert_eq!(error_of(text), error);
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = format!(r#"{{"ociVersion": "1.0.0", "x": {}"#, "[".repeat(100_000));
    assert!(error_of(text.as_bytes()).contains("recursion limit exceeded"));
}

#[test]
fn unknown_fields_and_other_platforms_are_tolerated() {
    let text =
        br#"{"ociVersion": "1.2.0-dev", "windows": {"layerFolders": null}, "futureField": [1.5]}"#;
    let (config, warnings) = parse(text, "f").unwrap();
    assert_eq!(config.oci_version, "1.2.0-dev");
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_field_that_is_null_is_absent() {
    let with = br#"{"ociVersion": "1.0.0", "hostname": null, "mounts": null, "hooks": {"prestart": null},
        "process": {"cwd": "/", "args": ["x"], "user": {"uid": null, "gid": 0, "additionalGids": null}},
        "linux": {"timeOffsets": null, "resources": {"pids": {"limit": null}, "devices": [{"allow": false, "access": "rwm", "major": null}]}}}"#;
    let without = br#"{"ociVersion": "1.0.0", "hooks": {},
        "process": {"cwd": "/", "args": ["x"], "user": {"gid": 0}},
        "linux": {"resources": {"pids": {}, "devices": [{"allow": false, "access": "rwm"}]}}}"#;
    assert_eq!(parse(with, "f").unwrap(), parse(without, "f").unwrap());
}

#[test]
fn long_values_are_cut_in_errors() {
    let text = format!(
        r#"{{"ociVersion": "1.0.0", "root": "{}"}}"#,
        "x".repeat(10_000)
    );
    assert!(error_of(text.as_bytes()).len() < 500);
}

#[test]
fn schema_fixtures_are_accepted_and_refused_as_labelled() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema");
    let mut counted = Vec::new();
    for label in ["good", "bad"] {
        let files = std::fs::read_dir(fixtures.join(label)).unwrap();
        let files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        counted.push(files.len());
        for file in files {
            let name = file.to_str().unwrap();
            let parsed = parse(&std::fs::read(&file).unwrap(), name);
            assert_eq!(parsed.is_ok(), label == "good", "{name}: {parsed:?}");
        }
    }
    assert_eq!(counted, [9, 5]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::default() })]

    #[test]
    fn damaged_text_is_an_error_or_a_config_and_never_a_panic(
        at in 0..4000usize, byte: u8, cut in 0..4000usize,
    ) {
        let mut text = crate::spec::to_text(&crate::spec::hardened_default(None)).into_bytes();
        let length = text.len();
        text[at % length] = byte;
        let _ = parse(&text, "f");
        let _ = parse(&text[..cut % length], "f");
    }

    #[test]
    fn errors_are_one_line_without_control_characters(name in "\\PC*|[\\x00-\\x1f\\u{200b}-\\u{2069}\"\\\\]*") {
        let name = serde_json::to_string(&name).expect("a string is JSON");
        let text = format!(r#"{{"ociVersion": "1.0.0", {name}: 1, {name}: 2, "mounts": {name}}}"#);
        let error = error_of(text.as_bytes());
        proptest::prop_assert!(!error.contains(char::is_control), "{}", error);
        let text = format!(
            r#"{{"ociVersion": "1.0.0", "linux": {{"namespaces": [{{"type": {name}}}]}}}}"#
        );
        let error = error_of(text.as_bytes());
        proptest::prop_assert!(!error.contains(char::is_control), "{}", error);
    }
}

//! What `unpack` and `launch` say while an image is unpacked, and the limits on their command line.
//! Not what becomes of the image: see `image`.

use std::fs;

use crate::harness::{Bundle, installed, skip};
use crate::image::{Layout, image};

/// An image that takes a while.
fn long() -> (Bundle, Layout) {
    let bundle = Bundle::new().profile(None);
    let many = bundle.rootfs().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..20_000 {
        fs::write(many.join(number.to_string()), "").unwrap();
    }
    let layout = Layout::new(&bundle, &serde_json::json!({"Cmd": ["/bin/true"]}));
    (bundle, layout)
}

#[test]
fn unpack_says_in_one_line_what_it_has_done() {
    let (bundle, layout) = image("app", "id");
    let path = |name: &str| bundle.path().join(name).to_str().unwrap().to_owned();
    let out = bundle
        .call(&["unpack", layout.text(), &path("one")])
        .output();
    let line = out.ok();
    assert!(line.starts_with("1 layer, "), "{line}");
    assert!(
        line.contains(" entries, ") && line.ends_with(" s\n"),
        "{line}"
    );
    assert_eq!(out.stderr, "");
    let words = ["unpack", "--quiet", layout.text(), &path("two")];
    assert_eq!(bundle.call(&words).output().ok(), "");
    let words = ["unpack", "--format", "json", layout.text(), &path("three")];
    let document = bundle.call(&words).output().json();
    assert_eq!(document["layers"], 1);
    assert_eq!(document["warnings"], serde_json::json!([]));
    for field in ["entries", "bytes", "seconds"] {
        assert!(document[field].is_number(), "{document}");
    }
}

#[test]
fn limits_on_the_command_line_hold_for_unpack_and_launch() {
    let (bundle, layout) = image("app", "id");
    let target = bundle.path().join("unpacked");
    let verbs = [
        vec!["unpack", "--limit", "entries=2"],
        vec!["launch", "--limit", "entries=2"],
    ];
    for mut words in verbs {
        let is_unpack = words[0] == "unpack";
        words.push(layout.text());
        if is_unpack {
            words.push(target.to_str().unwrap());
        }
        let out = bundle.call(&words).output();
        let expected = [
            "unpack \"",
            "of layer \"sha256:",
            "more than 2 entries (limit `entries`)\n",
            "try: raise `entries` if the image is to be trusted",
        ];
        assert_ne!(out.code, 0, "{out:#?}");
        for words in expected {
            assert!(out.stderr.contains(words), "{out:#?}");
        }
        assert!(!target.exists());
    }
    bundle.assert_clean();
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let Some(script) = installed("script") else {
        return skip("script is not installed");
    };
    let (bundle, layout) = long();
    let target = bundle.path().join("unpacked");
    let target = target.to_str().unwrap();
    let out = bundle.call(&["unpack", layout.text(), target]).output();
    assert!(out.ok().contains(" entries, "));
    assert_eq!(out.stderr, "");
    for (flag, is_shown) in [("", true), ("--quiet", false)] {
        fs::remove_dir_all(target).unwrap();
        let runtime = crate::harness::runtime();
        let command = format!(
            "{} unpack {flag} {} {target}",
            runtime.display(),
            layout.text()
        );
        let out = std::process::Command::new(&script)
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            // A terminal without a name, such as a serial line's, gets no bar.
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{text}");
        assert_eq!(text.contains("unpacking "), is_shown, "{text}");
        assert_eq!(text.contains(" of 1 layers"), is_shown, "{text}");
    }
}

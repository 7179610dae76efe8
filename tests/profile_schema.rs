//! `stockade profile schema` by another implementation of JSON Schema, python3-jsonschema: it takes what the parser takes, and
//! refuses what the parser refuses.
//! Not here: that no key is missing in it, which is tested beside it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stockade::profile::Profile;

use crate::harness::{Call, installed, runtime, skip};

/// Standard input: a schema and documents. Standard output: the first error of each document, or nothing.
const VALIDATE: &str = "\
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
given = json.load(sys.stdin)
kind = jsonschema.Draft202012Validator
kind.check_schema(given['schema'])
validator = kind(given['schema'])
def first(document):
    errors = sorted(validator.iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    return errors[0].message[:200] if errors else None
json.dump([first(document) for document in given['documents']], sys.stdout)
";

/// What the validator says against each text of TOML; `None` without a validator.
fn errors(texts: &[String]) -> Option<Vec<Option<String>>> {
    let Some(python) = installed("python3") else {
        skip("python3 is not installed");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    let schema = Call::new(runtime(), directory.path())
        .args(["profile", "schema"])
        .output()
        .json();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let documents: Vec<Value> = texts
        .iter()
        .map(|text| toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect();
    let given = directory.path().join("given");
    let text = json!({"schema": schema, "documents": documents}).to_string();
    fs::write(&given, text).unwrap();
    let out = Call::new(python, directory.path())
        .args(["-c", VALIDATE])
        .stdin(fs::File::open(given).unwrap())
        .output();
    if out.code == 77 {
        skip("python3-jsonschema is not installed");
        return None;
    }
    Some(serde_json::from_str(out.ok()).unwrap())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Blocks of TOML in the documentation that are profiles, as files; a section alone is given the head of one.
fn documented() -> Vec<String> {
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    pages.push(root().join("README.md"));
    let mut found = Vec::new();
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|ext| ext == "md"))
    {
        let text = fs::read_to_string(page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if block.starts_with("name = ") {
                found.push(block.to_owned());
            } else if ["[landlock]", "[seccomp]", "[memory]", "[environment]"]
                .iter()
                .any(|section| block.starts_with(section))
            {
                found.push(format!("{HEAD}{block}"));
            }
        }
    }
    found
}

const HEAD: &str = "name = \"own\"\ndescription = \"\"\n";
const ON_TOP: &str = "name = \"own\"\nextends = \"restricted\"\n";

/// Does the parser take it?
fn parsed(text: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.toml");
    fs::write(&file, text).unwrap();
    let loaded = Profile::load(file.to_str().unwrap());
    loaded.map(drop).map_err(|error| error.to_string())
}

#[test]
fn schema_takes_every_built_in_profile_and_those_of_the_documentation() {
    let mut texts: Vec<String> = Profile::names()
        .into_iter()
        .map(|name| Profile::builtin_text(name).unwrap().to_owned())
        .collect();
    let documented = documented();
    assert!(documented.len() >= 2, "{documented:?}");
    for text in &documented {
        assert_eq!(parsed(text), Ok(()), "{text}");
    }
    texts.extend(documented);
    let Some(errors) = errors(&texts) else { return };
    for (text, error) in texts.iter().zip(errors) {
        assert_eq!(error, None, "{text}");
    }
}

#[test]
fn schema_and_parser_take_the_same_good_profiles() {
    let rule = "names = [\"read\"]\naction = \"errno\"\nerrno = \"EACCES\"\nreason = \"\"\n\
                args = [{ index = 1, mask = 3, one-of = [1] }, { index = 0, none-of = [7] }]\n";
    let filter =
        "[seccomp]\ndefault-action = \"allow\"\narchitectures = [\"native\", \"SCMP_ARCH_X86\"]\n";
    let texts = [
        HEAD.to_owned(),
        format!(
            "{HEAD}[limits]\nmemory = {{ default = \"512MiB\", maximum = \"host\" }}\npids = {{ maximum = 5 }}\noom-group = true\ntime = \"90s\"\n"
        ),
        format!(
            "{HEAD}[limits]\ntime = 5\n[rlimits]\nRLIMIT_CORE = {{ maximum = 0, on-conflict = \"refuse\" }}\n"
        ),
        format!("{HEAD}[namespaces]\nrequire = [\"user\", \"pid\"]\non-conflict = \"refuse\"\n"),
        format!("{HEAD}[devices]\nallow = [\"c 1:3 rwm\", \"b *:* r\"]\nnodes = []\n"),
        format!(
            "{HEAD}[environment]\nallow = [\"PATH\", \"LC_*\"]\n[memory]\nmemfd-noexec = true\n[apparmor]\nprofile = \"a\"\n"
        ),
        format!(
            "{HEAD}[landlock]\nread = [\"/\", \"/usr/lib\"]\nbind-tcp = [0, 65535]\nscope = [\"signal\"]\n"
        ),
        format!(
            "{HEAD}{filter}allow = [\"@file\", \"clone3\"]\ndeny = []\n[[seccomp.rules]]\n{rule}"
        ),
        ON_TOP.to_owned(),
        format!(
            "{ON_TOP}without = [\"seccomp\"]\n[paths]\nmask = {{ add = [\"/x\"], remove = [\"/proc/cmdline\"] }}\n"
        ),
        format!(
            "{ON_TOP}[seccomp]\nallow = [\"@aio\"]\n[[seccomp.rules.add]]\n{rule}[capabilities]\nallow = []\n"
        ),
        format!(
            "{ON_TOP}[seccomp]\nallow = [\"@aio\", {{ names = [\"socket\"], args = [{{ index = 0, one-of = [38] }}], reason = \"x\" }}]\n"
        ),
        format!(
            "{ON_TOP}[seccomp.rules]\nremove = [\"@swap\"]\n[rlimits.RLIMIT_NOFILE]\non-conflict = \"refuse\"\n"
        ),
        format!(
            "{ON_TOP}[mounts.bind]\nadd = {{ remove = [\"noexec\"] }}\n[limits.pids]\ndefault = 9\n"
        ),
    ];
    for text in &texts {
        assert_eq!(parsed(text), Ok(()), "{text}");
    }
    let Some(errors) = errors(&texts) else { return };
    for (text, error) in texts.iter().zip(errors) {
        assert_eq!(error, None, "{text}");
    }
}

/// Sections that are wrong in a file of its own.
const SECTIONS: &[&str] = &[
    "colour = 1",
    "[root]\nreadnoly = true",
    "[root]\nreadonly = \"yes\"",
    "[identity]\nnon-root = \"deny\"",
    "[identity]\nminimum-uid = -1",
    "[identity]\nminimum-uid = 4294967296",
    "[capabilities]\nallow = [\"chown\"]",
    "[capabilities]\non-conflict = \"refuse\"",
    "[process]\nlock-securebits = 1",
    "[environment]\nallow = [\"A=B\"]",
    "[environment]\nallow = [\"*_X\"]",
    "[environment]\nallow = [\"*\"]",
    "[memory]\non-old-kernel = \"ignore\"",
    "[apparmor]\nwhen-missing = \"ignore\"",
    "[apparmor]\nprofile = \"\"",
    "[namespaces]\nrequire = [\"user\"]",
    "[namespaces]\nrequire = [\"net\"]",
    "[mounts]\npropagation = \"unbindable\"",
    "[mounts.bind]\nadd = [\"exec\"]",
    "[paths]\nmask = [\"proc/x\"]",
    "[paths]\nmask = [\"/proc/*\"]",
    "[devices]\nallow = [\"c 1:3\"]",
    "[devices]\nallow = [\"x 1:3 r\"]",
    "[limits]\nmemory = { default = \"512MB\" }",
    "[limits]\nmemory = 5",
    "[limits]\npids = { most = 5 }",
    "[limits]\ntime = 0",
    "[limits]\ntime = \"0m\"",
    "[limits]\ntime = \"1 hour\"",
    "[rlimits]\nCORE = { maximum = 0 }",
    "[rlimits]\nRLIMIT_CORE = { }",
    "[landlock]\nread = [\"/a/../b\"]",
    "[landlock]\nread = [\"/tmp/\"]",
    "[landlock]\nbind-tcp = [65536]",
    "[landlock]\nscope = [\"all\"]",
    "[seccomp]\ndefault-action = \"allow\"\narchitectures = []",
    "[seccomp]\narchitectures = [\"native\"]",
    "[seccomp]\ndefault-action = \"trap\"\narchitectures = [\"native\"]",
    "without = [\"seccomp\"]",
    "[paths]\nmask = { add = [\"/x\"] }",
];

/// What makes a rule wrong.
const RULES: &[&str] = &[
    "errno = \"EPERM\"",
    "args = [{ index = 6, one-of = [1] }]",
    "args = [{ index = 0 }]",
    "args = [{ index = 0, one-of = [] }]",
    "args = [{ index = 0, one-of = [1], none-of = [2] }]",
    "args = [{ index = 0, none-of = [2], mask = 3 }]",
];

/// What is wrong in a file that extends another.
const CHANGES: &[&str] = &[
    "colour = 1",
    "without = \"seccomp\"",
    "[paths]\nmask = { addd = [\"/x\"] }",
    "[paths]\nmask = { add = \"/x\" }",
    "[paths]\nmask = { add = [\"x\"] }",
    "[limits]\npids = { default = \"many\" }",
    "[seccomp]\nallow = [{ names = [\"@file\"], args = [{ index = 0, one-of = [1] }] }]",
    "[seccomp]\nallow = [{ names = [\"read\"], args = [] }]",
    "[seccomp]\nallow = [{ names = [\"read\"] }]",
    "[seccomp]\nallow = [{ name = \"read\", args = [{ index = 0, one-of = [1] }] }]",
];

#[test]
fn schema_and_parser_refuse_the_same_wrong_profiles() {
    let rule = "[seccomp]\ndefault-action = \"allow\"\narchitectures = [\"native\"]\n\
                [[seccomp.rules]]\nnames = [\"read\"]\naction = \"allow\"\n";
    let mut texts = vec![
        "description = \"\"\n".to_owned(),
        "name = \"a b\"\ndescription = \"\"\n".to_owned(),
        "name = \"a\"\n".to_owned(),
        "extends = \"restricted\"\n".to_owned(),
        // Without a reason.
        format!("{HEAD}{rule}"),
    ];
    texts.extend(SECTIONS.iter().map(|rest| format!("{HEAD}{rest}\n")));
    let rules = RULES.iter();
    texts.extend(rules.map(|rest| format!("{HEAD}{rule}reason = \"\"\n{rest}\n")));
    texts.extend(CHANGES.iter().map(|rest| format!("{ON_TOP}{rest}\n")));
    for text in &texts {
        assert!(parsed(text).is_err(), "{text}");
    }
    let Some(errors) = errors(&texts) else { return };
    let taken = texts
        .iter()
        .zip(errors)
        .filter(|(_, error)| error.is_none());
    let taken: Vec<&String> = taken.map(|(text, _)| text).collect();
    assert!(taken.is_empty(), "{taken:#?}");
}

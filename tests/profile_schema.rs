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

#[test]
fn schema_and_parser_refuse_the_same_wrong_profiles() {
    let filter = "[seccomp]\ndefault-action = \"allow\"\narchitectures = [\"native\"]\n";
    let rule = |rest: &str| {
        format!(
            "{HEAD}{filter}[[seccomp.rules]]\nnames = [\"read\"]\naction = \"allow\"\nreason = \"\"\n{rest}\n"
        )
    };
    let of = |rest: &str| format!("{HEAD}{rest}\n");
    let on_top = |rest: &str| format!("{ON_TOP}{rest}\n");
    let texts = [
        "description = \"\"\n".to_owned(),
        "name = \"a b\"\ndescription = \"\"\n".to_owned(),
        "name = \"a\"\n".to_owned(),
        of("colour = 1"),
        of("[root]\nreadnoly = true"),
        of("[root]\nreadonly = \"yes\""),
        of("[identity]\nnon-root = \"deny\""),
        of("[identity]\nminimum-uid = -1"),
        of("[identity]\nminimum-uid = 4294967296"),
        of("[capabilities]\nallow = [\"chown\"]"),
        of("[capabilities]\non-conflict = \"refuse\""),
        of("[process]\nlock-securebits = 1"),
        of("[environment]\nallow = [\"A=B\"]"),
        of("[environment]\nallow = [\"*_X\"]"),
        of("[environment]\nallow = [\"*\"]"),
        of("[memory]\non-old-kernel = \"ignore\""),
        of("[apparmor]\nwhen-missing = \"ignore\""),
        of("[apparmor]\nprofile = \"\""),
        of("[namespaces]\nrequire = [\"user\"]"),
        of("[namespaces]\nrequire = [\"net\"]"),
        of("[mounts]\npropagation = \"unbindable\""),
        of("[mounts.bind]\nadd = [\"exec\"]"),
        of("[paths]\nmask = [\"proc/x\"]"),
        of("[paths]\nmask = [\"/proc/*\"]"),
        of("[devices]\nallow = [\"c 1:3\"]"),
        of("[devices]\nallow = [\"x 1:3 r\"]"),
        of("[limits]\nmemory = { default = \"512MB\" }"),
        of("[limits]\nmemory = 5"),
        of("[limits]\npids = { most = 5 }"),
        of("[limits]\ntime = 0"),
        of("[limits]\ntime = \"0m\""),
        of("[limits]\ntime = \"1 hour\""),
        of("[rlimits]\nCORE = { maximum = 0 }"),
        of("[rlimits]\nRLIMIT_CORE = { }"),
        of("[landlock]\nread = [\"/a/../b\"]"),
        of("[landlock]\nread = [\"/tmp/\"]"),
        of("[landlock]\nbind-tcp = [65536]"),
        of("[landlock]\nscope = [\"all\"]"),
        of("[seccomp]\ndefault-action = \"allow\"\narchitectures = []"),
        of("[seccomp]\narchitectures = [\"native\"]"),
        of("[seccomp]\ndefault-action = \"trap\"\narchitectures = [\"native\"]"),
        of("without = [\"seccomp\"]"),
        of("[paths]\nmask = { add = [\"/x\"] }"),
        rule("errno = \"EPERM\""),
        rule("args = [{ index = 6, one-of = [1] }]"),
        rule("args = [{ index = 0 }]"),
        rule("args = [{ index = 0, one-of = [] }]"),
        rule("args = [{ index = 0, one-of = [1], none-of = [2] }]"),
        rule("args = [{ index = 0, none-of = [2], mask = 3 }]"),
        format!("{HEAD}{filter}[[seccomp.rules]]\nnames = [\"read\"]\naction = \"allow\"\n"),
        on_top("colour = 1"),
        on_top("without = \"seccomp\""),
        on_top("[paths]\nmask = { addd = [\"/x\"] }"),
        on_top("[paths]\nmask = { add = \"/x\" }"),
        on_top("[paths]\nmask = { add = [\"x\"] }"),
        on_top("[limits]\npids = { default = \"many\" }"),
        "extends = \"restricted\"\n".to_owned(),
    ];
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

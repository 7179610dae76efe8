//! The JSON Schema of a profile's file (draft 2020-12), for editors and for programs that write profiles.
//! It is made from the types of `format`, so that no key is missing in it; what no schema says, such as a default above its
//! maximum, is `check`'s.

/// The schema's text: `profiles/schema.json`.
pub const SCHEMA: &str = include_str!("../../profiles/schema.json");

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use schemars::schema_for;
    use serde_json::{Map, Value, json};

    use super::SCHEMA;
    use crate::profile::Profile;

    const NUMBER: u64 = u32::MAX as u64;

    const PATH: &str = r#"{"pattern": "^/[^*]*$"}"#;
    const PLAIN_PATH: &str = r#"{"pattern": "^(/|(/(?!\\.{1,2}(/|$))[^/*]+)+)$"}"#;

    /// What `check` demands of words, by the place in the schema of a whole profile.
    const DEMANDS: &[(&str, &str)] = &[
        ("/properties/name", r#"{"pattern": "^[A-Za-z0-9_.-]+$"}"#),
        (
            "/properties/rlimits",
            r#"{"propertyNames": {"pattern": "^RLIMIT_[A-Z0-9_]+$"}}"#,
        ),
        (
            "/$defs/Capabilities/properties/allow/items",
            r#"{"pattern": "^CAP_[A-Z0-9_]+$"}"#,
        ),
        (
            "/$defs/Environment/properties/allow/items",
            r#"{"pattern": "^[^=*]+\\*?$"}"#,
        ),
        ("/$defs/AppArmor/properties/profile", r#"{"minLength": 1}"#),
        ("/$defs/Paths/properties/mask/items", PATH),
        ("/$defs/Paths/properties/readonly/items", PATH),
        ("/$defs/Landlock/properties/read/items", PLAIN_PATH),
        ("/$defs/Landlock/properties/write/items", PLAIN_PATH),
        ("/$defs/Landlock/properties/execute/items", PLAIN_PATH),
        ("/$defs/Landlock/properties/ioctl/items", PLAIN_PATH),
        (
            "/$defs/SeccompRules/properties/architectures",
            r#"{"minItems": 1}"#,
        ),
        (
            "/$defs/SeccompRules/properties/architectures/items",
            r#"{"pattern": "^(native|SCMP_ARCH_[A-Z0-9_]+)$"}"#,
        ),
        (
            "/$defs/ArgRule",
            r#"{"oneOf": [{"required": ["one-of"]}, {"required": ["none-of"]}],
                "not": {"required": ["none-of", "mask"]}}"#,
        ),
        ("/$defs/ArgRule/properties/index", r#"{"maximum": 5}"#),
        ("/$defs/ArgRule/properties/one-of", r#"{"minItems": 1}"#),
        ("/$defs/ArgRule/properties/none-of", r#"{"minItems": 1}"#),
        (
            "/$defs/Partly/properties/names/items",
            r#"{"pattern": "^(?!@)"}"#,
        ),
        ("/$defs/Partly/properties/args", r#"{"minItems": 1}"#),
        (
            "/$defs/SeccompRule",
            r#"{"if": {"required": ["errno"]}, "then": {"properties": {"action": {"const": "errno"}}}}"#,
        ),
        (
            "/$defs/Namespaces",
            r#"{"if": {"properties": {"require": {"type": "array", "contains": {"enum": ["user", "time"]}}},
                       "required": ["require"]},
                "then": {"properties": {"on-conflict": {"const": "refuse"}}, "required": ["on-conflict"]}}"#,
        ),
        (
            "/$defs/Quantity",
            r#"{"anyOf": [{"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^(host|[0-9]+(KiB|MiB|GiB))$"}]}"#,
        ),
        (
            "/$defs/Time",
            r#"{"anyOf": [{"type": "integer", "minimum": 1},
                {"type": "string", "pattern": "^0*[1-9][0-9]*[smhd]$"}]}"#,
        ),
        (
            "/$defs/DeviceSet",
            r#"{"pattern": "^[bc] ([0-9]+|\\*):([0-9]+|\\*) [rwm]+$"}"#,
        ),
    ];

    /// The schema as the types say it, for a file of its own and for one that extends another.
    fn made() -> Value {
        let mut whole = serde_json::to_value(schema_for!(Profile)).unwrap();
        tidy(&mut whole);
        for (place, more) in DEMANDS {
            let at = whole
                .pointer_mut(place)
                .unwrap_or_else(|| panic!("{place} is gone"));
            let (Value::Object(at), Value::Object(more)) =
                (at, serde_json::from_str(more).unwrap())
            else {
                panic!("{place} is no schema");
            };
            at.extend(more);
        }
        let Value::Object(mut whole) = whole else {
            panic!("a schema is an object");
        };
        let Some(Value::Object(mut defs)) = whole.remove("$defs") else {
            panic!("there are sections");
        };
        whole.retain(|key, _| !matches!(key.as_str(), "$schema" | "title"));
        let names: Vec<String> = defs.keys().cloned().collect();
        defs.insert("Profile".to_owned(), Value::Object(whole));
        let parts: Vec<String> = names
            .iter()
            .chain([&"Profile".to_owned()])
            .filter(|name| is_merged(&defs, name))
            .cloned()
            .collect();
        for name in &parts {
            let part = extending(&defs[name], &parts);
            defs.insert(format!("{name}Extending"), part);
        }
        extends(&mut defs["ProfileExtending"]);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Profile of stockade",
            "description": "The most that the config of a container may have (docs/profiles.md). TOML.",
            "type": "object",
            "if": {"required": ["extends"]},
            "then": {"$ref": "#/$defs/ProfileExtending"},
            "else": {"$ref": "#/$defs/Profile"},
            "$defs": defs,
        })
    }

    /// TOML has no null, what is absent needs no default, and a width is a range.
    fn tidy(schema: &mut Value) {
        match schema {
            Value::Array(items) => items.iter_mut().for_each(tidy),
            Value::Object(members) => {
                let is_null = |value: &Value| *value == json!({"type": "null"}) || *value == "null";
                for key in ["type", "anyOf"] {
                    let Some(Value::Array(items)) = members.get_mut(key) else {
                        continue;
                    };
                    items.retain(|item| !is_null(item));
                    if let [only] = &items[..] {
                        let only = only.clone();
                        match (key, only) {
                            ("anyOf", Value::Object(only)) => {
                                members.remove(key);
                                members.extend(only);
                            }
                            (_, only) => {
                                members.insert(key.to_owned(), only);
                            }
                        }
                    }
                }
                if members
                    .get("default")
                    .is_some_and(|value| value.is_null() || value.is_object())
                {
                    members.remove("default");
                }
                let format = members.remove("format");
                if format == Some(json!("uint32")) {
                    members.insert("maximum".to_owned(), NUMBER.into());
                }
                if let Some(Value::String(text)) = members.get_mut("description") {
                    *text = text.replace('\n', " ");
                }
                for (key, below) in members {
                    match (key.as_str(), below) {
                        // Names of keys and sections, and not words of a schema.
                        ("properties" | "$defs", Value::Object(named)) => {
                            named.values_mut().for_each(tidy);
                        }
                        (_, below) => tidy(below),
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether something in this section can be left to the base, or is a list that takes an edit. A rule is given whole.
    fn is_merged(defs: &Map<String, Value>, name: &str) -> bool {
        let part = &defs[name];
        if matches!(name, "SeccompRule" | "ArgRule" | "Partly") || part["type"] != "object" {
            return false;
        }
        let mut properties = part["properties"].as_object().into_iter().flatten();
        part.get("required").is_some()
            || properties.any(|(_, value)| {
                let below = value["$ref"]
                    .as_str()
                    .and_then(|name| name.strip_prefix("#/$defs/"));
                value["type"] == "array" || below.is_some_and(|below| is_merged(defs, below))
            })
    }

    /// The same section in a file that extends another.
    fn extending(part: &Value, parts: &[String]) -> Value {
        let mut part = part.clone();
        let Value::Object(members) = &mut part else {
            return part;
        };
        // The base may have what is missing here.
        for key in ["required", "if", "then"] {
            members.remove(key);
        }
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            for (key, value) in properties {
                merged(key, value, parts);
            }
        }
        if let Some(value) = members.get_mut("additionalProperties") {
            merged("", value, parts);
        }
        part
    }

    fn merged(key: &str, value: &mut Value, parts: &[String]) {
        let below = value["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix("#/$defs/"));
        if let Some(below) = below.filter(|below| parts.iter().any(|part| part == below)) {
            value["$ref"] = json!(format!("#/$defs/{below}Extending"));
        }
        // A section of a map.
        if let Some(more) = value
            .get_mut("additionalProperties")
            .filter(|more| more.is_object())
        {
            merged("", more, parts);
        }
        if value["type"] == "array" {
            let mut list = value.take();
            let description = list
                .as_object_mut()
                .and_then(|list| list.remove("description"));
            if let Some(list) = list.as_object_mut() {
                list.remove("default");
            }
            let items = json!({"type": "array", "items": list["items"]});
            let removed = match key {
                "rules" => json!({"type": "array", "items": {"type": "string"}}),
                _ => items.clone(),
            };
            let edit = json!({
                "type": "object",
                "description": "Changes of the base's list.",
                "properties": {"add": items, "remove": removed},
                "additionalProperties": false,
            });
            *value = json!({"anyOf": [list, edit]});
            if let Some(description) = description {
                value["description"] = description;
            }
        }
    }

    fn extends(part: &mut Value) {
        part["required"] = json!(["name", "extends"]);
        part["description"] = json!("A profile that begins with another one and changes it.");
        part["properties"]["extends"] = json!({
            "description": "A built-in profile, or the path of a file relative to this one.",
            "type": "string",
        });
        part["properties"]["without"] = json!({
            "description": "Keys of the base that are taken away, such as `rlimits.RLIMIT_NOFILE`.",
            "type": "array",
            "items": {"type": "string"},
        });
    }

    #[test]
    fn schema_is_what_the_types_say() {
        let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/schema.json");
            fs::write(path, &made).unwrap();
            return;
        }
        assert!(
            made == SCHEMA,
            "profiles/schema.json is not what the types say: write it anew by UPDATE_GOLDEN=1"
        );
    }

    /// Every place below `schema` that is a key without words of its own.
    fn undescribed(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            if value.get("description").is_none() && !matches!(key.as_str(), "add" | "remove") {
                found.push(format!("{path}.{key}"));
            }
        }
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            undescribed(name, part, found);
        }
    }

    #[test]
    fn every_key_of_the_schema_is_described_and_every_section_closed() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let mut found = Vec::new();
        undescribed("", &schema, &mut found);
        assert_eq!(found, [""; 0]);
        let defs = schema["$defs"].as_object().unwrap();
        let is_open = |part: &&Value| {
            part.get("properties").is_some() && part["additionalProperties"] != false
        };
        assert_eq!(defs.values().find(is_open), None);
    }

    /// The types are read by the parser, which says what it knows when it meets what it does not.
    #[test]
    fn schema_has_every_key_that_the_parser_takes() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        for (section, part) in [
            ("", "Profile"),
            ("identity", "Identity"),
            ("capabilities", "Capabilities"),
            ("process", "ProcessRules"),
            ("environment", "Environment"),
            ("memory", "MemoryRules"),
            ("apparmor", "AppArmor"),
            ("namespaces", "Namespaces"),
            ("root", "Root"),
            ("mounts", "Mounts"),
            ("mounts.bind", "BindMounts"),
            ("mounts.tmpfs", "TmpfsMounts"),
            ("mounts.kernel", "KernelMounts"),
            ("paths", "Paths"),
            ("devices", "Devices"),
            ("limits", "Limits"),
            ("landlock", "Landlock"),
            ("seccomp", "SeccompRules"),
        ] {
            let head = "name = \"p\"\ndescription = \"\"\n";
            let text = match section {
                "" => format!("{head}no-such-key = 1\n"),
                section => format!("{head}[{section}]\nno-such-key = 1\n"),
            };
            let error = crate::profile::parse("p", &text).unwrap_err().to_string();
            let (_, known) = error.split_once("expected ").unwrap();
            let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            known.sort_unstable();
            let properties = schema["$defs"][part]["properties"].as_object().unwrap();
            let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(keys, known, "{section}");
        }
    }
}

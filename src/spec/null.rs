//! Members that are null: absent, as every other reader of these documents takes them, and as programs in Go write a list
//! that has nothing in it.

use serde_json::Value;

/// Objects whose keys are names of things, not fields. There a null would stand for something that was named, so it stays,
/// and is an error of the type.
const NAMED: [&str; 6] = [
    "annotations",
    "netDevices",
    "rdma",
    "sysctl",
    "timeOffsets",
    "unified",
];

/// Drops fields that are null from a document of the OCI runtime; whether there was any.
pub(super) fn drop_fields(document: &mut Value) -> bool {
    match document {
        Value::Object(fields) => {
            let before = fields.len();
            fields.retain(|_, value| !value.is_null());
            let mut found = fields.len() < before;
            for (name, value) in fields {
                found |= match value {
                    Value::Object(named) if NAMED.contains(&name.as_str()) => {
                        drop_in_each(named.values_mut())
                    }
                    value => drop_fields(value),
                };
            }
            found
        }
        Value::Array(elements) => drop_in_each(elements.iter_mut()),
        _ => false,
    }
}

fn drop_in_each<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    // Not `any`, which would stop at the first.
    values.fold(false, |found, value| drop_fields(value) | found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_and_elements_and_named_things_stay() {
        let mut document = json!({
            "hostname": null,
            "mounts": [{"destination": "/a", "options": null}, null],
            "linux": {"sysctl": {"a.b": null}, "netDevices": {"eth0": null, "eth1": {"name": null}}},
        });
        assert!(drop_fields(&mut document));
        let left = json!({
            "mounts": [{"destination": "/a"}, null],
            "linux": {"sysctl": {"a.b": null}, "netDevices": {"eth0": null, "eth1": {}}},
        });
        assert_eq!(document, left);
        assert!(!drop_fields(&mut document));
    }
}

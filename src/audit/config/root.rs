//! What `root` says.

use super::Asked;

pub(in crate::audit) fn readonly(asked: &mut Asked) {
    if let Some(root) = &asked.scene.config.root
        && !root.readonly
    {
        asked.found("/root/readonly", "is not true");
    }
}

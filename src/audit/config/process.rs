//! What `process` says: privileges.

use super::Asked;

pub(in crate::audit) fn no_new_privileges(asked: &mut Asked) {
    if let Some(process) = &asked.scene.config.process
        && !process.no_new_privileges
    {
        asked.found("/process/noNewPrivileges", "is not true");
    }
}

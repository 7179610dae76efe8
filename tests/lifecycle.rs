//! The lifecycle verbs.
use crate::harness::{Bundle, calls};

#[test]
fn smoke() {
    let bundle = Bundle::new().shell("echo hello; exit 3");
    assert_eq!(bundle.run().exits(3), "hello\n");
    let bundle = calls(Bundle::new(), &[&[39], &[libc::SYS_unshare, 1 << 28]]);
    assert_eq!(bundle.run().ok(), "1\n0\n");
}

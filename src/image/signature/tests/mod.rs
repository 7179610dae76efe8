//! Signatures, right and wrong.

//! Whole images, right and hostile, built by code.

//! Images: what they are made of and how they become a root directory.
//! Not their execution: see `container`.

pub mod layer;

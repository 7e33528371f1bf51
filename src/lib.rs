//! keywayd.

pub mod base;
pub mod domain;

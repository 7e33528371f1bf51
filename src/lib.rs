//! keywayd.

pub mod base;
pub mod crypto;
pub mod domain;
pub mod store;

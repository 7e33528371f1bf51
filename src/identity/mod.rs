//! Who people are elsewhere: the forges that keep repositories, each in its own words.
//! Everything the rest of the program asks of them goes through `domain::ports`.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod github;

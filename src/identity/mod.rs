//! Who people are elsewhere: the forges that keep repositories, each in its own words.
//! Everything the rest of the program asks of them goes through `domain::ports`.

pub mod github;

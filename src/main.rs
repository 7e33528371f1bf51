//! Arguments in, exit status out; everything between is the library's.

fn main() {}

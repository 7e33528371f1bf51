//! What Cargo does not tell the linker by itself; run before the program is built.
//!
//! A static program that may be loaded anywhere lists the places that depend on where: half
//! a megabyte. Packed (`DT_RELR`) they are some kilobytes, if the C library that is linked
//! in can unpack them at the start, as glibc does since 2.36.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "that is how Cargo and a build script talk"
)]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=packaging/link.rs");
    let is = |what: &str, value: &str| env::var(what).is_ok_and(|actual| actual == value);
    let is_known = is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        // Of another machine's C library nothing is known.
        && env::var("HOST") == env::var("TARGET");
    if is_known && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's C library.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let version = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = version.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

//! The naive reader, as the command line and the MCP server have it. It is here because
//! its mistakes are part of the protocol: what it reads is what comes back on a push.
//!
//! The two differ in what they trim: Go's `TrimSpace` knows U+0085 but not U+FEFF,
//! JavaScript's `trim` the other way round. This one trims like Go; no line that we write
//! has either character where it would be trimmed.

use std::collections::BTreeMap;

/// Reads a file: splits at `\n`, trims, skips empty lines and comments, cuts at the first
/// `=`. Lines without `=` are skipped; the last of equal keys wins.
#[must_use]
pub fn read(content: &str) -> BTreeMap<String, String> {
    content
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, text)| (key.trim().to_owned(), value(text).to_owned()))
        .collect()
}

/// Reads what stands behind the `=`: trims and strips one pair of equal quotes.
#[must_use]
pub fn value(text: &str) -> &str {
    let text = text.trim();
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

//! Reads `.env` text as dotenv (npm) does, for files that people bring along. What that
//! reader would pass over in silence is told by its line instead.

use crate::base::SecretText;
use zeroize::Zeroizing;

/// What is in a file.
#[derive(Debug, Default)]
pub struct Reading {
    /// Keys and values, in the file's order.
    pub pairs: Vec<(String, SecretText)>,
    /// Numbers of the lines that are neither a pair nor a comment nor empty.
    pub unclear: Vec<usize>,
}

/// Reads the whole text.
#[must_use]
pub fn read(text: &str) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let (mut reading, mut rest) = (Reading::default(), text.as_str());
    let (mut line_number, mut counted) = (1, 0);
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = behind;
            continue;
        }
        rest = match pair(rest) {
            Some((key, value, behind)) => {
                reading.pairs.push((key.to_owned(), value));
                behind
            }
            None => {
                let before = text.len() - rest.len();
                line_number += text[counted..before].matches('\n').count();
                counted = before;
                reading.unclear.push(line_number);
                behind
            }
        };
    }
    reading
}

/// The pair at the start of `text`, and what comes behind its last line.
fn pair(text: &str) -> Option<(&str, SecretText, &str)> {
    let text = text.trim_start();
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let (key, rest) = text.split_at(text.find(|c| !is_key(c)).unwrap_or(text.len()));
    let rest = match rest.trim_start_matches([' ', '\t']).strip_prefix('=') {
        Some(rest) => rest,
        None => rest.strip_prefix(':').filter(|rest| rest.starts_with([' ', '\t']))?,
    };
    if key.is_empty() {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    let (written, behind) = quoted(rest).unwrap_or_else(|| bare(rest));
    Some((key, value(written), behind))
}

/// A quoted value with its quotes, which may go over several lines.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let mut ends = Vec::new();
    let mut from = 1;
    while let Some(at) = text[from..].find(quote) {
        let at = from + at;
        ends.push(at);
        if !text[..at].ends_with('\\') {
            break;
        }
        from = at + 1;
    }
    // The last that is followed by nothing but a comment; earlier ones have a backslash before them.
    ends.into_iter().rev().find_map(|at| {
        let (written, rest) = text.split_at(at + 1);
        let tail = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let last = tail.is_empty() || tail.starts_with(['\n', '#']);
        last.then(|| (written, tail.split_once('\n').map_or("", |(_, behind)| behind)))
    })
}

/// A value up to a comment or the line's end.
fn bare(text: &str) -> (&str, &str) {
    let (line, behind) = text.split_once('\n').unwrap_or((text, ""));
    (line.split('#').next().unwrap_or_default().trim(), behind)
}

fn value(written: &str) -> SecretText {
    let inside = |quote| written.strip_prefix(quote)?.strip_suffix(quote);
    let text = ['\'', '"', '`'].into_iter().find_map(inside).unwrap_or(written);
    if written.starts_with('"') {
        let broken = Zeroizing::new(text.replace("\\n", "\n"));
        return SecretText::new(broken.replace("\\r", "\r"));
    }
    SecretText::new(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dotenv::encode;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let reading = read(text);
        assert_eq!(reading.unclear, Vec::<usize>::new(), "{text:?}");
        reading.pairs.into_iter().map(|(key, value)| (key, value.expose().to_owned())).collect()
    }

    fn one(text: &str) -> String {
        match pairs(text).as_slice() {
            [(key, value)] if key == "A" => value.clone(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn values_are_read_as_npm_reads_them() {
        for (text, value) in [
            ("A=1", "1"),
            ("A=", ""),
            ("  export A = x y  # comment", "x y"),
            ("A: yaml-like", "yaml-like"),
            ("A='single # no comment'", "single # no comment"),
            ("A='back\\n'", "back\\n"),
            (r#"A="two\nlines" # c"#, "two\nlines"),
            ("A=\"over\ntwo lines\"", "over\ntwo lines"),
            ("A=`tick's \"`", "tick's \""),
            ("A='it\\'s'", "it\\'s"),
            ("A='end\\'", "end\\"),
            ("A='no end", "'no end"),
            ("A='a' b", "'a' b"),
            ("A=a=b", "a=b"),
            ("A='x' \t# 'y'", "x"),
            ("A=\"x\\ry\"", "x\ry"),
            ("A='\n'", "\n"),
            ("\u{feff}A=bom\r\n", "bom"),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
        assert_eq!(pairs("# c\n\nA=1\nB=2\n").len(), 2);
        let two = |text: &str| pairs(text).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(two("exported=1\nexport\tB.c-D=2"), ["exported", "B.c-D"]);
    }

    #[test]
    fn what_is_no_pair_is_told_by_its_line() {
        let reading = read("A=1\njust words\n\nB='x\ny'\n=3\nC=4");
        assert_eq!(reading.unclear, [2, 6]);
        assert_eq!(reading.pairs.len(), 3);
        assert_eq!(read("A:1\nB 2\nC\n").unclear, [1, 2, 3]);
    }

    /// Each of these, at the length that is let in, took hours when what is behind was looked at again and again.
    #[test]
    fn a_text_is_read_once() {
        let unclear = "x\n".repeat(1 << 18);
        assert_eq!(read(&unclear).unclear.last(), Some(&(1 << 18)));
        let quotes = format!("A='{}x", "\\'".repeat(1 << 18));
        assert_eq!(one(&quotes).len(), quotes.len() - 2);
    }

    proptest! {
        /// Whatever we write in a form that npm reads, this reads.
        #[test]
        fn what_a_pull_answers_is_read_back(values in prop::collection::vec("[a-zA-Z0-9 =:#$',;\n\r\t.{}é-]{0,40}", 0..6)) {
            let named: Vec<_> = values.iter().enumerate().map(|(n, value)| (format!("K{n}"), value.clone())).collect();
            let text = encode(named.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            prop_assert_eq!(pairs(text.expose()), named);
        }
    }
}

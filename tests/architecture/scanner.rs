//! Finds the paths that a Rust source names, in its stream of tokens: in `use` trees, in expressions and types,
//! in macro calls and definitions, and in the strings of attributes that start with `crate::`.

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// A path that the code names.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    /// Below our crate's root: `crate::store::codec` → `store`, `codec`.
    pub(crate) ours: Option<Vec<String>>,
    /// The first segment of any other path: a crate, or a name from the file itself.
    pub(crate) foreign: Option<String>,
}

/// Every path that `text`, the file of `module`, names.
pub(crate) fn mentions(text: &str, module: &[String]) -> Result<Vec<Mention>, LexError> {
    let mut scanner = Scanner { module: module.to_vec(), found: Vec::new() };
    scanner.scan(&flatten(text.parse()?));
    Ok(scanner.found)
}

/// The modules that `text` declares without a body.
pub(crate) fn declared_modules(text: &str) -> Vec<String> {
    let tokens = flatten(text.parse().expect("src/lib.rs is Rust"));
    let names = tokens.windows(3).filter_map(|window| match window {
        [Token { kind: Kind::Ident(word), .. }, Token { kind: Kind::Ident(name), .. }, end]
            if word == "mod" && end.kind == Kind::Punct(';') =>
        {
            Some(name.clone())
        }
        _ => None,
    });
    names.collect()
}

#[derive(Debug, PartialEq)]
enum Kind {
    Ident(String),
    Punct(char),
    Open,
    Close,
    Text(String),
}

struct Token {
    kind: Kind,
    line: usize,
}

fn flatten(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten_into(stream, &mut tokens);
    tokens
}

fn flatten_into(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
                tokens.push(Token { kind: Kind::Ident(name), line });
            }
            TokenTree::Punct(punct) => tokens.push(Token { kind: Kind::Punct(punct.as_char()), line }),
            TokenTree::Literal(literal) => {
                tokens.push(Token { kind: Kind::Text(literal.to_string()), line });
            }
            TokenTree::Group(group) => {
                // Only braces matter to paths (`use a::{b, c}`, `mod a { … }`); the rest just has to balance.
                let delimited = group.delimiter() != Delimiter::None;
                if delimited {
                    tokens.push(Token { kind: Kind::Open, line });
                }
                flatten_into(group.stream(), tokens);
                if delimited {
                    tokens.push(Token { kind: Kind::Close, line: group.span_close().start().line });
                }
            }
        }
    }
}

struct Scanner {
    /// Where `self` and `super` start from.
    module: Vec<String>,
    found: Vec<Mention>,
}

impl Scanner {
    fn scan(&mut self, tokens: &[Token]) {
        let mut depth = 0usize;
        let mut inline_modules: Vec<usize> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let rest = &tokens[at..];
            match &rest[0].kind {
                Kind::Open => depth += 1,
                Kind::Close => {
                    depth -= 1;
                    if inline_modules.last() == Some(&depth) {
                        inline_modules.pop();
                        self.module.pop();
                    }
                }
                // `#[serde(with = "crate::…")]` and its like name paths in strings.
                Kind::Text(text) if text.starts_with("\"crate::") => {
                    if let Ok(stream) = text.trim_matches('"').parse() {
                        let mut tokens = flatten(stream);
                        tokens.iter_mut().for_each(|token| token.line = rest[0].line);
                        self.tree(&tokens, 0, &[]);
                    }
                }
                Kind::Ident(word)
                    if word == "mod" && is_ident(rest, 1) && kind(rest, 2) == Some(&Kind::Open) =>
                {
                    if let Kind::Ident(name) = &rest[1].kind {
                        self.module.push(name.clone());
                        inline_modules.push(depth);
                        at += 1;
                    }
                }
                Kind::Ident(word) if word == "extern" && is_word(rest, 1, "crate") => {
                    // `extern crate self as x` is `use crate as x` in old dress.
                    if is_word(rest, 2, "self") {
                        self.mention(&["crate".to_owned()], rest[0].line);
                    }
                    at = self.tree(tokens, at + 2, &[]);
                    continue;
                }
                Kind::Ident(word) if word == "use" => {
                    let start = if is_colons(rest, 1) { at + 3 } else { at + 1 };
                    at = self.tree(tokens, start, &[]);
                    continue;
                }
                Kind::Ident(_) if is_colons(rest, 1) && starts_path(&tokens[..at]) => {
                    at = self.tree(tokens, at, &[]);
                    continue;
                }
                Kind::Ident(_) | Kind::Punct(_) | Kind::Text(_) => {}
            }
            at += 1;
        }
    }

    /// Reads one path, or the `{…}` of a `use`, from `at`; returns where it ends.
    fn tree(&mut self, tokens: &[Token], at: usize, prefix: &[String]) -> usize {
        let Some(token) = tokens.get(at) else { return at };
        match &token.kind {
            Kind::Ident(name) => {
                let path = [prefix, std::slice::from_ref(name)].concat();
                let continues = is_colons(&tokens[at..], 1)
                    && matches!(kind(tokens, at + 3), Some(Kind::Ident(_) | Kind::Open | Kind::Punct('*')));
                if continues {
                    return self.tree(tokens, at + 3, &path);
                }
                self.mention(&path, token.line);
                at + 1
            }
            Kind::Punct('*') => {
                self.mention(&[prefix, &["*".to_owned()]].concat(), token.line);
                at + 1
            }
            Kind::Open => {
                let mut at = at + 1;
                while at < tokens.len() && tokens[at].kind != Kind::Close {
                    let after = self.tree(tokens, at, prefix);
                    at = after;
                    // Over `as name` and the comma; never over the closing brace.
                    while at < tokens.len() && !matches!(tokens[at].kind, Kind::Close | Kind::Punct(',')) {
                        at += 1;
                    }
                    if kind(tokens, at) == Some(&Kind::Punct(',')) {
                        at += 1;
                    }
                }
                at + 1
            }
            Kind::Close | Kind::Punct(_) | Kind::Text(_) => at,
        }
    }

    fn mention(&mut self, path: &[String], line: usize) {
        // `use crate::base::{self}` names `base`.
        let path = match path {
            [start @ .., last] if last == "self" && !start.is_empty() => start,
            whole => whole,
        };
        let below = |module: &[String], rest: &[String]| Some([module, rest].concat());
        let (ours, foreign) = match path {
            [first, rest @ ..] if first == "crate" || first == "keywayd" => (below(&[], rest), None),
            [first, rest @ ..] if first == "self" => (below(&self.module, rest), None),
            [first, ..] if first == "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let kept = self.module.len().saturating_sub(ups);
                (below(&self.module[..kept], &path[ups..]), None)
            }
            [first, ..] => (None, Some(first.clone())),
            [] => return,
        };
        self.found.push(Mention { line, ours, foreign });
    }
}

fn kind(tokens: &[Token], at: usize) -> Option<&Kind> {
    tokens.get(at).map(|token| &token.kind)
}

fn is_ident(tokens: &[Token], at: usize) -> bool {
    matches!(kind(tokens, at), Some(Kind::Ident(_)))
}

fn is_word(tokens: &[Token], at: usize, word: &str) -> bool {
    matches!(kind(tokens, at), Some(Kind::Ident(name)) if name == word)
}

fn is_colons(tokens: &[Token], at: usize) -> bool {
    kind(tokens, at) == Some(&Kind::Punct(':')) && kind(tokens, at + 1) == Some(&Kind::Punct(':'))
}

/// Whether an identifier after these tokens is the first of its path: it is no method, and there is no `::`
/// before it, or one with nothing before that (`::redb::Database`).
fn starts_path(before: &[Token]) -> bool {
    match before {
        [.., owner, a, b] if a.kind == Kind::Punct(':') && b.kind == Kind::Punct(':') => {
            !matches!(owner.kind, Kind::Ident(_) | Kind::Punct('>') | Kind::Close)
        }
        [.., before, dot] if dot.kind == Kind::Punct('.') => before.kind == Kind::Punct('.'),
        _ => true,
    }
}

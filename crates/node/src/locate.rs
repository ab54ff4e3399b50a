//! Lines of things in profiles.

use toml::de::{DeTable, DeValue};

/// How a profile is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

/// A step on the way to something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl Step {
    /// Into a table.
    pub fn key(k: &str) -> Self {
        Step::Key(k.into())
    }
}

/// The line, from 1, of the byte at `offset`.
pub fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// The line of what `path` leads to, or of the last thing on the way that is there.
pub fn line(text: &str, format: Format, path: &[Step]) -> usize {
    let offset = match format {
        Format::Toml => in_toml(text, path),
        Format::Json => in_json(text, path),
    };
    line_of(text, offset.unwrap_or(0))
}

fn in_toml(text: &str, path: &[Step]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut table = Some(root.get_ref());
    let mut list = None;
    for step in path {
        let next = match step {
            Step::Key(k) => table?.iter().find(|(name, _)| name.get_ref() == k).map(|(_, v)| v),
            Step::Index(n) => {
                let list: Option<&toml::de::DeArray> = list;
                list?.get(*n)
            }
        };
        let Some(v) = next else { return at };
        at = Some(v.span().start);
        table = None;
        list = None;
        match v.get_ref() {
            DeValue::Table(t) => table = Some(t),
            DeValue::Array(a) => list = Some(a),
            _ => {}
        }
    }
    at
}

fn in_json(text: &str, path: &[Step]) -> Option<usize> {
    let mut s = Scan { text: text.as_bytes(), at: 0 };
    let mut found = None;
    for step in path {
        s.space();
        if !s.enter(step) {
            return found;
        }
        s.space();
        found = Some(s.at);
    }
    found
}

/// A look at a text that is known to be JSON.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }
    fn space(&mut self) {
        while self.peek().is_ascii_whitespace() || matches!(self.peek(), b',' | b':') {
            self.at += 1;
        }
    }
    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while self.at < self.text.len() && self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let raw = self.text.get(start..self.at.min(self.text.len())).unwrap_or(&[]);
        serde_json::from_slice(raw).unwrap_or_default()
    }
    /// Goes past a value.
    fn skip(&mut self) {
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                0 if self.at >= self.text.len() => return,
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => {
                    while !matches!(self.peek(), b',' | b'}' | b']' | b'{' | b'[')
                        && self.at < self.text.len()
                    {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return;
            }
        }
    }
    /// Goes to an element of the table or list that begins here.
    fn enter(&mut self, step: &Step) -> bool {
        let open = self.peek();
        self.at += 1;
        let mut n = 0;
        loop {
            self.space();
            match (self.peek(), step) {
                (b'}' | b']', _) => return false,
                (0, _) if self.at >= self.text.len() => return false,
                (_, Step::Key(k)) if open == b'{' => {
                    if self.peek() != b'"' {
                        return false;
                    }
                    if self.string() == *k {
                        return true;
                    }
                }
                (_, Step::Index(i)) if open == b'[' => {
                    if n == *i {
                        return true;
                    }
                }
                _ => return false,
            }
            self.space();
            self.skip();
            n += 1;
        }
    }
}

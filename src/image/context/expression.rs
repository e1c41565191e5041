//! The regular expressions that Docker makes of a pattern, read and matched as Go's `regexp` does.
//!
//! Docker hands a pattern's backslashes and brackets to Go's regular expressions as they are, and puts expressions of
//! its own between them (`moby/patternmatcher`, `compile`), even between brackets. So what a pattern means is what
//! that text means there (`regexp/syntax`). No expression repeats a group, so where one may be in a path is a set of
//! places, and matching takes no longer for a bad pattern.

use std::collections::BTreeSet;

use super::text::decode;

/// A regular expression, anchored at its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Vec<Node>);

/// What it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    One(Class),
    Many(Class),
    /// `(.*/)?`
    Folders,
    /// `^`, `\A`
    Begin,
    /// `$`, `\z`
    End,
    /// `\b`; the other way round, `\B`.
    Boundary(bool),
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Class {
    negated: bool,
    /// Ranges, each of which may be the other way round.
    members: Vec<(bool, &'static [(u8, u8)])>,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn of(c: char) -> Self {
        Self { ranges: vec![(c, c)], ..Self::default() }
    }

    fn but(c: char) -> Self {
        Self { negated: true, ..Self::of(c) }
    }

    fn has(&self, c: char) -> bool {
        let within = |ranges: &[(u8, u8)]| {
            ranges.iter().any(|(low, high)| (*low as char..=*high as char).contains(&c))
        };
        let found = self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
            || self.members.iter().any(|(negated, ranges)| within(ranges) != *negated);
        found != self.negated
    }
}

/// The text is no expression, or one that nobody writes into a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoExpression;

/// Classes with a name in brackets, `[:alpha:]`.
const NAMED: [(&str, &[(u8, u8)]); 14] = [
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7f)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    ("digit", &[(b'0', b'9')]),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    ("punct", &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    ("word", WORD),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];
const WORD: &[(u8, u8)] = &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z'), (b'_', b'_')];
const DIGIT: &[(u8, u8)] = &[(b'0', b'9')];
const SPACE: &[(u8, u8)] = &[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')];

impl Expression {
    /// Reads what stands behind `^`.
    pub fn parse(text: &str) -> Result<Self, NoExpression> {
        let mut nodes = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(tail) = rest.strip_prefix("(.*/)?") {
                nodes.push(Node::Folders);
                rest = tail;
                continue;
            }
            let (node, tail) = match first {
                '^' => (Node::Begin, &rest[1..]),
                '$' => (Node::End, &rest[1..]),
                '\\' => escaped(rest)?,
                '[' => class(rest)?,
                '.' => (Node::One(Class::but('\n')), &rest[1..]),
                c => (Node::One(Class::of(c)), &rest[c.len_utf8()..]),
            };
            rest = tail;
            // A star comes behind a set alone: one of the pattern's own has become a set and a star.
            nodes.push(match (node, rest.strip_prefix('*')) {
                (Node::One(class), Some(tail)) => {
                    rest = tail;
                    Node::Many(class)
                }
                (node, _) => node,
            });
        }
        Ok(Self(nodes))
    }

    /// Whether it matches a path.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut places = BTreeSet::from([0]);
        for node in &self.0 {
            places = after(node, path, &places);
        }
        !places.is_empty()
    }
}

/// Where one may be behind a node, from these places on.
fn after(node: &Node, path: &[u8], places: &BTreeSet<usize>) -> BTreeSet<usize> {
    let next = |class: &Class, at: usize| {
        let (c, length) = decode(path.get(at..)?)?;
        class.has(c).then_some(at + length)
    };
    match node {
        Node::One(class) => places.iter().filter_map(|at| next(class, *at)).collect(),
        Node::Many(class) => {
            let mut reached = BTreeSet::new();
            for place in places {
                let mut at = *place;
                // Where somebody has been before, all that follows is known.
                while reached.insert(at)
                    && let Some(further) = next(class, at)
                {
                    at = further;
                }
            }
            reached
        }
        Node::Folders => {
            let mut reached = places.clone();
            if let Some(first) = places.first() {
                let mut begins: Option<usize> = None;
                for (at, byte) in path.iter().enumerate().skip(*first) {
                    begins = begins.or(places.contains(&at).then_some(at));
                    match byte {
                        b'\n' => begins = None,
                        b'/' if begins.is_some() => drop(reached.insert(at + 1)),
                        _ => {}
                    }
                }
            }
            reached
        }
        Node::Begin => places.iter().copied().filter(|at| *at == 0).collect(),
        Node::End => places.iter().copied().filter(|at| *at == path.len()).collect(),
        Node::Boundary(wanted) => {
            let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            let is_boundary = |at: usize| is_word(path[..at].last()) != is_word(path.get(at));
            places.iter().copied().filter(|at| is_boundary(*at) == *wanted).collect()
        }
    }
}

/// What begins with a backslash.
fn escaped(text: &str) -> Result<(Node, &str), NoExpression> {
    let node = match text[1..].chars().next() {
        Some('A') => Node::Begin,
        Some('z') => Node::End,
        Some('b') => Node::Boundary(true),
        Some('B') => Node::Boundary(false),
        _ => {
            if let Some((member, tail)) = perl(text) {
                return Ok((Node::One(Class { members: vec![member], ..Class::default() }), tail));
            }
            let (c, tail) = escape(text)?;
            return Ok((Node::One(Class::of(c)), tail));
        }
    };
    Ok((node, &text[2..]))
}

type Member = (bool, &'static [(u8, u8)]);

/// `\d` and the like.
fn perl(text: &str) -> Option<(Member, &str)> {
    let member = match text.strip_prefix('\\')?.chars().next()? {
        'd' => (false, DIGIT),
        'D' => (true, DIGIT),
        's' => (false, SPACE),
        'S' => (true, SPACE),
        'w' => (false, WORD),
        'W' => (true, WORD),
        _ => return None,
    };
    Some((member, &text[2..]))
}

/// A backslash and what stands for one character.
fn escape(text: &str) -> Result<(char, &str), NoExpression> {
    let mut chars = text.strip_prefix('\\').unwrap_or(text).chars();
    let first = chars.next().ok_or(NoExpression)?;
    let rest = chars.as_str();
    let octal = |rest: &str| rest.starts_with(|c: char| ('0'..='7').contains(&c));
    let c = match first {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        // Of the digits, `1` to `7` alone would be a reference, which Go has not.
        '0'..='7' if first == '0' || octal(rest) => {
            let more = rest.chars().take(2).take_while(|c| ('0'..='7').contains(c)).count();
            let digits = text.get(1..2 + more).ok_or(NoExpression)?;
            let code = u32::from_str_radix(digits, 8).map_err(|_| NoExpression)?;
            return Ok((char::from_u32(code).ok_or(NoExpression)?, &rest[more..]));
        }
        'x' => {
            let digits =
                rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(NoExpression)?;
            let code = u8::from_str_radix(digits, 16).map_err(|_| NoExpression)?;
            return Ok((char::from(code), &rest[2..]));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(NoExpression),
    };
    Ok((c, rest))
}

/// What begins with a bracket.
fn class(text: &str) -> Result<(Node, &str), NoExpression> {
    let mut class = Class::default();
    let mut rest = &text[1..];
    if let Some(tail) = rest.strip_prefix('^') {
        class.negated = true;
        rest = tail;
    }
    let mut is_first = true;
    while is_first || !rest.starts_with(']') {
        is_first = false;
        if let Some(tail) = rest.strip_prefix("[:")
            && let Some((name, tail)) = tail.split_once(":]")
        {
            let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
            let named = NAMED.iter().find(|(known, _)| *known == name).ok_or(NoExpression)?;
            class.members.push((negated, named.1));
            rest = tail;
            continue;
        }
        if let Some((member, tail)) = perl(rest) {
            class.members.push(member);
            rest = tail;
            continue;
        }
        let (low, tail) = class_char(rest)?;
        let (high, tail) = match tail.strip_prefix('-') {
            Some(range) if !range.is_empty() && !range.starts_with(']') => class_char(range)?,
            _ => (low, tail),
        };
        if high < low {
            return Err(NoExpression);
        }
        class.ranges.push((low, high));
        rest = tail;
    }
    Ok((Node::One(class), &rest[1..]))
}

fn class_char(text: &str) -> Result<(char, &str), NoExpression> {
    let mut chars = text.chars();
    match chars.next().ok_or(NoExpression)? {
        '\\' => escape(text),
        c => Ok((c, chars.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, path: &str) -> Result<bool, NoExpression> {
        Expression::parse(&format!("{text}$")).map(|e| e.matches(path.as_bytes()))
    }

    /// What Go's `regexp` says.
    #[test]
    fn as_go_does() {
        for (text, path, expected) in [
            ("a[^/]*", "abc", true),
            ("a[^/]*", "ab/c", false),
            ("[^/]", "\u{e9}", true),
            ("(.*/)?x", "x", true),
            ("(.*/)?x", "a/b/x", true),
            ("(.*/)?x", "a/bx", false),
            ("(.*/)?x", "a\nb/x", false),
            ("(.*/)?(.*/)?x", "a/b/x", true),
            ("a(.*/)?[^/]*", "a/b/c", true),
            ("a.*", "a\nb", false),
            ("a.*", "a/b", true),
            ("a^b[^/]*", "a^b", false),
            ("^a[^/]*", "a", true),
            (r"\d\D", "1x", true),
            (r"\d\D", "x1", false),
            (r"[\d-]x", "-x", true),
            (r"a\.b", "a.b", true),
            (r"\x41\101\n", "AA\n", true),
            (r"a\b/\bb", "a/b", true),
            (r"a\bb", "ab", false),
            ("[[:upper:]]", "A", true),
            ("[[:^upper:]]", "A", false),
            ("[a-c]]", "b]", true),
            // What a star or a question mark within brackets becomes.
            ("[[^/]*]", "[^/]", true),
            ("[[^/]*]", "x]", false),
            ("[[^/]]", "/]", true),
            ("[^a]", "/", true),
        ] {
            assert_eq!(matches(text, path), Ok(expected), "{text} {path}");
        }
        for text in [r"\y", r"\1", r"\pL", r"\Qx", "[z-a]", "[a", "[[:no:]]", "\\\u{e9}"] {
            assert!(matches(text, "x").is_err(), "{text}");
        }
        assert!(Expression::parse("\\").is_err());
    }

    #[test]
    fn a_bad_pattern_takes_no_longer() {
        let text = "(.*/)?[^/]*".repeat(60) + "x";
        let path = "a/".repeat(2000) + "y";
        let begun = std::time::Instant::now();
        assert_eq!(matches(&text, &path), Ok(false));
        assert!(begun.elapsed().as_secs() < 5);
    }
}

//! Reads YAML into a tree whose nodes know their lines.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

use super::error::SyntaxError;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The line. The first line of a file is 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A value of YAML.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing, or `null`.
    Null,
    /// A text, a number or a boolean, as it is written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the file's order.
    Map(Vec<(Key, Node)>),
}

/// A key and its line.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub name: String,
    pub line: usize,
}

/// Nodes of a file. Aliases of aliases would make any number of them from a few lines.
const NODES: usize = 10_000;

/// A list or a map of which the end has not come yet.
enum Open {
    List(Node, Vec<Node>),
    Map { node: Node, entries: Vec<(Key, Node)>, key: Option<Key> },
}

/// Reads the first document of a text.
///
/// # Errors
/// Names the line.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| SyntaxError { line: e.marker().line(), message: e.info() })?;
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = match style {
                    ScalarStyle::Plain if is_null(&text) => Value::Null,
                    _ => Value::Scalar(text.into_owned()),
                };
                builder.add(Node { line, value }, anchor)?;
            }
            Event::Alias(anchor) => builder.alias(anchor, line)?,
            Event::SequenceStart(_, anchor, _) => builder.open(Open::List(empty(line), Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => {
                builder.open(Open::Map { node: empty(line), entries: Vec::new(), key: None }, anchor);
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::DocumentStart(..) if builder.root.is_some() => {
                let message = "a second document begins, and a configuration is one".to_owned();
                return Err(SyntaxError { line, message });
            }
            _ => {}
        }
    }
    builder.root.ok_or_else(|| SyntaxError { line: 1, message: "the file is empty".to_owned() })
}

fn empty(line: usize) -> Node {
    Node { line, value: Value::Null }
}

/// Whether PyYAML reads a text as `None`.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[derive(Default)]
struct Builder {
    open: Vec<(Open, usize)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder {
    fn open(&mut self, open: Open, anchor: usize) {
        self.open.push((open, anchor));
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        let Some((open, anchor)) = self.open.pop() else { return Ok(()) };
        let node = match open {
            Open::List(node, items) => Node { value: Value::List(items), ..node },
            Open::Map { node, entries, .. } => Node { value: Value::Map(entries), ..node },
        };
        self.add(node, anchor)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), SyntaxError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(SyntaxError {
                line,
                message: "an alias stands in what it is an alias of".to_owned(),
            });
        };
        self.nodes += size(&node);
        self.add(Node { line, ..node }, 0)
    }

    /// Adds a whole node to the list or the map that is open.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        self.nodes += 1;
        let line = node.line;
        let wrong = |message: String| Err(SyntaxError { line, message });
        if self.nodes > NODES {
            return wrong(format!("the file has more than {NODES} values"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Open::List(_, items), _)) => items.push(node),
            Some((Open::Map { entries, key, .. }, _)) => match key.take() {
                None => {
                    let Value::Scalar(name) = node.value else {
                        return wrong("a key has to be a text".to_owned());
                    };
                    *key = Some(Key { name, line });
                }
                Some(key) if key.name == "<<" => return merge(entries, node),
                Some(key) => {
                    if let Some((first, _)) = entries.iter().find(|(other, _)| other.name == key.name) {
                        let message = format!("`{}` is there twice, first in line {}", key.name, first.line);
                        return Err(SyntaxError { line: key.line, message });
                    }
                    entries.push((key, node));
                }
            },
        }
        Ok(())
    }
}

/// `<<`: the keys of other maps, unless they are there already (YAML 1.1, which PyYAML reads).
fn merge(entries: &mut Vec<(Key, Node)>, node: Node) -> Result<(), SyntaxError> {
    let line = node.line;
    match node.value {
        Value::Map(others) => {
            for (key, value) in others {
                if !entries.iter().any(|(other, _)| other.name == key.name) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|map| merge(entries, map)),
        Value::Null | Value::Scalar(_) => {
            Err(SyntaxError { line, message: "`<<` has to be an alias of a section".to_owned() })
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| 1 + size(node)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => format!("null@{}", node.line),
            Value::Scalar(text) => format!("{text}@{}", node.line),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let shown =
                    entries.iter().map(|(key, node)| format!("{}@{}={}", key.name, key.line, show(node)));
                format!("{{{}}}", shown.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn values_know_their_lines() {
        let text = "# head\nA:\n  - x\n  - 'null'\n  - B: 1 # one\n    C: ~\nD: {E: yes}\n";
        let node = parse(text).unwrap();
        assert_eq!(show(&node), "{A@2=[x@3 null@4 {B@5=1@5 C@6=null@6}] D@7={E@7=yes@7}}");
    }

    #[test]
    fn aliases_and_merged_keys_are_read() {
        let node = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  z: *a\nc:\n  y: 3\n  <<: [*a]\n").unwrap();
        let expected =
            "{a@1={x@1=1@1 y@1=2@1} b@2={x@1=1@1 y@1=2@1 z@4={x@1=1@1 y@1=2@1}} c@5={y@6=3@6 x@1=1@1}}";
        assert_eq!(show(&node), expected);
    }

    #[test]
    fn wrong_texts_are_named_with_their_lines() {
        let wrong = |text: &str| parse(text).map(|node| show(&node)).unwrap_err();
        for (text, line, message) in [
            ("", 1, "the file is empty"),
            ("a: 1\nb: 2\na: 3\n", 3, "`a` is there twice, first in line 1"),
            ("a: 1\n---\nb: 2\n", 2, "a second document begins, and a configuration is one"),
            ("a:\n  - [1\nb: 2\n", 3, ""),
            ("a: *x\n", 1, ""),
            ("a: &a [*a]\n", 1, "an alias stands in what it is an alias of"),
            ("? [a]\n: 1\n", 1, "a key has to be a text"),
            ("a:\n  <<: 1\n", 2, "`<<` has to be an alias of a section"),
        ] {
            let error = wrong(text);
            assert_eq!(error.line, line, "{text}: {error:?}");
            assert!(!error.message.is_empty() && error.message.contains(message), "{text}: {error:?}");
        }
    }

    #[test]
    fn aliases_of_aliases_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(parse(&text).unwrap_err().message.contains("more than 10000 values"));
    }
}

//! The uses of a Rust source: the paths that it names, resolved to modules and files of its crate.
//!
//! This reads tokens, not types. A method that is called without an import is not seen, and an item
//! that a macro makes is looked for in the file of its module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A path of names from the root of a crate, such as `batch::submit::Submitter`.
pub type Names = Vec<String>;

/// A token with the line in which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a source. Comments are left out; the text of a literal is empty.
fn tokens(source: &str) -> Vec<Token> {
    let characters: Vec<char> = source.chars().collect();
    let at = |i: usize| characters.get(i).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i) = (Vec::new(), 0);
    let mut line = 1;
    while i < characters.len() {
        let (begin, begin_line) = (i, line);
        let mut text = String::new();
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < characters.len() && at(i) != '\n' {
                    i += 1;
                }
                continue;
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= characters.len() {
                        break;
                    }
                }
            }
            '"' => i = end_of_string(&characters, i),
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < characters.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            c if is_name(c) => {
                while is_name(at(i)) {
                    i += 1;
                }
                text = characters[begin..i].iter().collect();
                let hashes = characters[i..].iter().take_while(|c| **c == '#').count();
                let is_prefix = ["r", "b", "br", "c", "cr"].contains(&text.as_str());
                if is_prefix && at(i + hashes) == '"' && (hashes == 0 || text.contains('r')) {
                    i = match text.contains('r') {
                        true => end_of_raw_string(&characters, i + hashes, hashes),
                        false => end_of_string(&characters, i),
                    };
                    text.clear();
                } else if text == "b" && at(i) == '\'' {
                    // The next turn reads the character, which is of no interest either.
                    text.clear();
                }
            }
            c => {
                i += 1;
                text.push(c);
            }
        }
        line += characters[begin..i.min(characters.len())].iter().filter(|c| **c == '\n').count();
        if !text.trim().is_empty() {
            tokens.push(Token { text, line: begin_line });
        }
    }
    tokens
}

fn end_of_string(characters: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < characters.len() && characters[i] != '"' {
        i += if characters[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn end_of_raw_string(characters: &[char], quote: usize, hashes: usize) -> usize {
    let is_end = |i: usize| {
        characters[i] == '"'
            && characters[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (quote + 1..characters.len()).find(|i| is_end(*i)).map_or(characters.len(), |i| i + 1 + hashes)
}

/// A path that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The module that names it.
    module: Names,
    /// Its segments as they stand.
    segments: Names,
    /// The line.
    pub line: usize,
    /// The name that a `use` gives it; `*` for a glob, `None` outside of a `use`.
    alias: Option<String>,
    /// Whether it is exported again.
    is_export: bool,
}

/// The paths that a source names, and the modules that it declares for tests alone.
#[derive(Debug, Default)]
struct Source {
    uses: Vec<Use>,
    /// All names in the code, beside those in `use`.
    names: BTreeSet<String>,
    inline_modules: Vec<Names>,
    test_modules: BTreeSet<String>,
    /// The names of items.
    items: BTreeSet<String>,
}

impl Source {
    fn defines(&self, name: &str) -> bool {
        self.items.contains(name)
    }
}

/// The words before the name of an item.
const ITEMS: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];

/// Reads a source; with `tests`, also the code that is there in tests alone.
fn read(source: &str, module: &[String], tests: bool) -> Source {
    let tokens = tokens(source);
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    let mut read = Source::default();
    // The inline modules around the current token, each with the depth at which it ends.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut i) = (0_usize, 0);
    while i < tokens.len() {
        let here: Names = module.iter().cloned().chain(inside.iter().map(|(name, _)| name.clone())).collect();
        match text(i) {
            "#" if is_cfg_test(&tokens, i) => {
                let item = after_attributes(&tokens, i);
                let item = if text(item) == "pub" { after_visibility(&tokens, item) } else { item };
                if text(item) == "mod" && text(item + 2) == ";" {
                    read.test_modules.insert(text(item + 1).to_owned());
                }
                i = if tests { item } else { end_of_item(&tokens, item) };
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inside.last().is_some_and(|(_, end)| *end == depth) {
                    inside.pop();
                }
            }
            "mod" if text(i + 2) == "{" => {
                inside.push((text(i + 1).to_owned(), depth));
                let inner = here.iter().cloned().chain([text(i + 1).to_owned()]).collect();
                read.inline_modules.push(inner);
            }
            "use" if !text(i + 1).starts_with(['<', '(']) => {
                let is_export = i > 0 && (text(i - 1) == "pub" || text(i - 1) == ")");
                let end = (i..tokens.len()).find(|j| text(*j) == ";").unwrap_or(tokens.len());
                let mut found = Vec::new();
                tree(&tokens[i + 1..end], &mut 0, &[], &mut found);
                for (segments, alias, line) in found {
                    let module = here.clone();
                    read.uses.push(Use { module, segments, line, alias: Some(alias), is_export });
                }
                i = end;
            }
            name if is_identifier(name) && text(i.wrapping_sub(1)) != "." => {
                let mut segments = vec![name.to_owned()];
                let mut last = i;
                while text(last + 1) == ":" && text(last + 2) == ":" && is_identifier(text(last + 3)) {
                    last += 3;
                    segments.push(text(last).to_owned());
                }
                let is_inner = i > 1 && text(i - 1) == ":" && text(i - 2) == ":";
                read.names.insert(name.to_owned());
                if ITEMS.contains(&text(i.wrapping_sub(1))) {
                    read.items.insert(name.to_owned());
                }
                if segments.len() > 1 && !is_inner {
                    let (module, line) = (here, tokens[i].line);
                    read.uses.push(Use { module, segments, line, alias: None, is_export: false });
                }
                i = last;
            }
            _ => {}
        }
        i += 1;
    }
    read
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn is_cfg_test(tokens: &[Token], i: usize) -> bool {
    let words = ["#", "[", "cfg", "(", "test", ")", "]"];
    words.iter().enumerate().all(|(n, word)| tokens.get(i + n).is_some_and(|token| token.text == *word))
}

/// Where the item begins whose attributes begin here.
fn after_attributes(tokens: &[Token], mut i: usize) -> usize {
    while tokens.get(i).is_some_and(|token| token.text == "#") {
        i = end_of_group(tokens, i + 1);
    }
    i
}

fn after_visibility(tokens: &[Token], public: usize) -> usize {
    match tokens.get(public + 1).is_some_and(|token| token.text == "(") {
        true => end_of_group(tokens, public + 1),
        false => public + 1,
    }
}

/// The place behind the group that a bracket opens.
fn end_of_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// The place behind an item: behind its `;`, or behind its block.
fn end_of_item(tokens: &[Token], begin: usize) -> usize {
    let is_import = tokens.get(begin).is_some_and(|token| token.text == "use");
    let mut i = begin;
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            ";" => return i + 1,
            "{" if !is_import => return end_of_group(tokens, i),
            "(" | "[" | "{" => i = end_of_group(tokens, i),
            _ => i += 1,
        }
    }
    i
}

/// The paths of a `use` tree, each with the name that it gives, and with its line.
fn tree(tokens: &[Token], i: &mut usize, before: &[String], found: &mut Vec<(Names, String, usize)>) {
    let mut path = before.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.get(*i) {
        line = token.line;
        match token.text.as_str() {
            ":" => *i += 1,
            "{" => {
                *i += 1;
                while tokens.get(*i).is_some_and(|token| token.text != "}") {
                    tree(tokens, i, &path, found);
                    if tokens.get(*i).is_some_and(|token| token.text == ",") {
                        *i += 1;
                    }
                }
                *i += 1;
                return;
            }
            "," | "}" => break,
            "as" => {
                let alias = tokens.get(*i + 1).map(|token| token.text.clone()).unwrap_or_default();
                *i += 2;
                found.push((path, alias, line));
                return;
            }
            "*" => {
                *i += 1;
                found.push((path, "*".to_owned(), line));
                return;
            }
            name => {
                path.push(name.to_owned());
                *i += 1;
            }
        }
    }
    if path.len() > before.len() {
        if path.last().is_some_and(|name| name == "self") {
            path.pop();
        }
        let alias = path.last().cloned().unwrap_or_default();
        found.push((path, alias, line));
    }
}

/// The sources of one crate.
#[derive(Debug)]
pub struct Crate {
    /// The file of each module, below the folder of sources.
    files: BTreeMap<Names, PathBuf>,
    sources: BTreeMap<Names, Source>,
}

impl Crate {
    /// Reads the sources in a folder; with `tests`, also the code that is there in tests alone.
    pub fn read(folder: &Path, tests: bool) -> Self {
        Self::of(files(folder, Path::new("")), tests)
    }

    /// The sources of these files, each with its path below the folder of sources.
    pub fn of(sources: Vec<(PathBuf, String)>, tests: bool) -> Self {
        let mut krate = Self { files: BTreeMap::new(), sources: BTreeMap::new() };
        for (file, text) in sources {
            let module = module_of(&file);
            let source = read(&text, &module, tests);
            for inline in &source.inline_modules {
                krate.files.insert(inline.clone(), file.clone());
            }
            krate.files.insert(module.clone(), file);
            krate.sources.insert(module, source);
        }
        if !tests {
            let declared = |(module, source): (&Names, &Source)| -> Vec<Names> {
                let tests = source.test_modules.iter();
                tests.map(|name| module.iter().cloned().chain([name.clone()]).collect()).collect()
            };
            let test_modules: Vec<Names> = krate.sources.iter().flat_map(declared).collect();
            let is_test = |module: &Names| test_modules.iter().any(|test| module.starts_with(test));
            krate.sources.retain(|module, _| !is_test(module));
        }
        krate
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.keys().map(|module| self.files[module].as_path())
    }

    /// The files whose code has this name.
    pub fn files_that_name<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Path> {
        let names = move |(module, source): (&'n Names, &'n Source)| {
            let is_used = source.uses.iter().any(|used| used.segments.iter().any(|segment| segment == name));
            (is_used || source.names.contains(name)).then(|| self.files[module].as_path())
        };
        self.sources.iter().filter_map(names)
    }

    /// Each use of something in this crate: the file, the line, and the path from the root of the
    /// crate.
    pub fn uses(&self) -> Vec<(&Path, usize, Names)> {
        let of = |(module, source): (&Names, &'_ Source)| -> Vec<(&Path, usize, Names)> {
            let uses = source.uses.iter();
            uses.filter_map(|used| Some((self.files[module].as_path(), used.line, self.absolute(used)?)))
                .collect()
        };
        self.sources.iter().flat_map(of).collect()
    }

    /// The files that each file uses, with an example: the line, and the path that stands there.
    pub fn arrows(&self) -> BTreeMap<&Path, BTreeMap<&Path, (usize, String)>> {
        let mut arrows: BTreeMap<&Path, BTreeMap<&Path, (usize, String)>> = BTreeMap::new();
        for (module, source) in &self.sources {
            let file = self.files[module].as_path();
            for used in &source.uses {
                // A name that is only exported again is used by others.
                let is_used_here = used.alias.as_ref().is_none_or(|alias| source.names.contains(alias));
                let Some(path) = self.absolute(used).filter(|_| is_used_here || !used.is_export) else {
                    continue;
                };
                let target = match used.alias.as_deref() {
                    Some("*") => self.files.get(&path).map(PathBuf::as_path),
                    _ => self.file_of(&path, 0),
                };
                if let Some(target) = target.filter(|target| *target != file) {
                    let example = (used.line, used.segments.join("::"));
                    arrows.entry(file).or_default().entry(target).or_insert(example);
                }
            }
        }
        arrows
    }

    /// The path from the root of the crate; `None` for what is in another crate.
    fn absolute(&self, used: &Use) -> Option<Names> {
        let mut base = used.module.clone();
        let mut rest = used.segments.as_slice();
        let is_import = used.alias.is_some();
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" | "super" => {
                while let Some(first) = rest.first().filter(|name| ["self", "super"].contains(&name.as_str()))
                {
                    if first == "super" {
                        base.pop()?;
                    }
                    rest = &rest[1..];
                }
            }
            first => {
                let child: Names = base.iter().cloned().chain([first.to_owned()]).collect();
                if !self.files.contains_key(&child) {
                    if is_import {
                        return None;
                    }
                    // A module that was imported by its name.
                    let source = self.source_of(&used.module)?;
                    let names = |import: &&Use| {
                        import.module == used.module && import.alias.as_deref() == Some(first)
                    };
                    let import = source.uses.iter().find(names)?;
                    base = self.absolute(import)?;
                    rest = &rest[1..];
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The source in which a module stands: its own file's, or that of the module around it.
    fn source_of(&self, module: &[String]) -> Option<&Source> {
        (0..=module.len()).rev().find_map(|length| self.sources.get(&module[..length]))
    }

    /// The file that defines the item of a path; `None` for a module.
    fn file_of(&self, path: &[String], depth: usize) -> Option<&Path> {
        let length = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        let name = rest.first()?;
        let exported = self
            .source_of(module)
            .into_iter()
            .flat_map(|source| &source.uses)
            .filter(|used| used.module == module && depth < 8);
        for used in exported {
            let Some(mut target) = used.alias.as_ref().and_then(|_| self.absolute(used)) else { continue };
            match used.alias.as_deref() {
                Some("*") if self.source_of(&target).is_some_and(|source| source.defines(name)) => {
                    return self.files.get(&target).map(PathBuf::as_path);
                }
                Some(alias) if alias == name => {
                    target.extend(rest[1..].iter().cloned());
                    if let Some(file) = self.file_of(&target, depth + 1) {
                        return Some(file);
                    }
                }
                _ => {}
            }
        }
        Some(self.files[module].as_path())
    }
}

/// The sources below a folder, with their paths from there.
fn files(root: &Path, below: &Path) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).expect("a folder of sources") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            sources.extend(files(root, &path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push((path.clone(), std::fs::read_to_string(entry.path()).expect("a source")));
        }
    }
    sources.sort();
    sources
}

/// The module that a file has: `a/b.rs` and `a/b/mod.rs` have `a::b`, `lib.rs` and `main.rs` the
/// root.
fn module_of(file: &Path) -> Names {
    let mut names: Names =
        file.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        names.pop();
    }
    names
}

/// The groups of files of which each uses all others, by way of others perhaps.
pub fn circles<'p>(
    arrows: &BTreeMap<&'p Path, BTreeMap<&'p Path, (usize, String)>>,
) -> Vec<BTreeSet<&'p Path>> {
    let reached = |start: &'p Path| -> BTreeSet<&'p Path> {
        let mut reached = BTreeSet::new();
        let mut next = vec![start];
        while let Some(file) = next.pop() {
            for target in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(*target) {
                    next.push(target);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = arrows.keys().map(|file| (*file, reached(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, targets) in &reach {
        let back = |target: &&&'p Path| reach.get(**target).is_some_and(|back| back.contains(file));
        let circle: BTreeSet<&Path> = targets.iter().filter(back).copied().collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

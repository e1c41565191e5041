//! The words of a command line as a shell hands them over, and candidates as it takes them.

use super::candidates::Candidate;
use super::scripts::Shell;

/// The words of a command line up to the one that is completed.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The words before it, beginning with the name of the program.
    pub before: Vec<String>,
    /// The beginning of the word.
    pub word: String,
    /// The part of it that the shell does not replace: bash takes `--queue=na` for three words.
    fixed: String,
    /// The quote that is open in the word.
    quote: Option<char>,
}

/// The quoting of bash.
const SPECIAL: &str = " \t\"'\\$`&|;()<>*?[]{}!#~^";

impl Line {
    /// Reads the words. `index` is that of the word that is completed.
    pub fn new(shell: Shell, words: &[String], index: usize) -> Self {
        let words = words.get(..=index).unwrap_or(words);
        let Some((last, before)) = words.split_last() else {
            return Self { before: Vec::new(), word: String::new(), fixed: String::new(), quote: None };
        };
        match shell {
            Shell::Bash => Self::of_bash(before, last),
            // The script for zsh removes quotes.
            Shell::Zsh => {
                Self { before: before.to_vec(), word: last.clone(), fixed: String::new(), quote: None }
            }
            Shell::Fish => {
                let (word, quote) = unquoted(last);
                Self { before: before.to_vec(), word, fixed: String::new(), quote }
            }
        }
    }

    /// Joins the words that bash splits at `=` and `:` (Bash Reference Manual, `COMP_WORDBREAKS`),
    /// and removes quotes.
    fn of_bash(before: &[String], last: &str) -> Self {
        let is_break = |word: &str| !word.is_empty() && word.chars().all(|c| matches!(c, '=' | ':'));
        let mut joined: Vec<String> = Vec::new();
        let mut fixed = String::new();
        let mut goes_on = false;
        for (index, word) in before.iter().map(String::as_str).chain([last]).enumerate() {
            let is_break = is_break(word);
            let is_last = index == before.len();
            match joined.last_mut().filter(|_| index > 1 && (goes_on || is_break)) {
                Some(text) => {
                    if is_last {
                        // bash inserts a candidate behind the `=`, and in place of anything else.
                        fixed = if is_break { format!("{text}{word}") } else { text.clone() };
                    }
                    text.push_str(word);
                }
                None => joined.push(word.to_owned()),
            }
            goes_on = is_break;
        }
        let (word, quote) = unquoted(&joined.pop().unwrap_or_default());
        let before = joined.iter().map(|word| unquoted(word).0).collect();
        Self { before, word, fixed: unquoted(&fixed).0, quote }
    }

    /// The candidates as lines for the shell's script. `is_menu`: bash inserts each as it is.
    pub fn lines(&self, shell: Shell, candidates: &[Candidate], is_menu: bool) -> Vec<String> {
        let is_choice = candidates.len() > 1 && !is_menu;
        candidates.iter().filter_map(|candidate| self.line(shell, candidate, is_choice)).collect()
    }

    fn line(&self, shell: Shell, candidate: &Candidate, is_choice: bool) -> Option<String> {
        let Candidate { word, description, needs_description } = candidate;
        Some(match shell {
            Shell::Bash => {
                let word = self.bash_quoted(word.strip_prefix(self.fixed.as_str())?)?;
                // As long as there is a choice, bash inserts no more than the words have in common.
                match is_choice && *needs_description && !description.is_empty() {
                    true => format!("{word}  ({description})"),
                    false => word,
                }
            }
            Shell::Zsh => {
                let word = word.replace('\\', "\\\\").replace(':', "\\:");
                if description.is_empty() { word } else { format!("{word}:{description}") }
            }
            Shell::Fish if description.is_empty() => word.clone(),
            Shell::Fish => format!("{word}\t{description}"),
        })
    }

    /// The text as bash inserts it. `None`: it cannot stand in the open quotes.
    fn bash_quoted(&self, text: &str) -> Option<String> {
        match self.quote {
            Some('\'') => (!text.contains('\'')).then(|| text.to_owned()),
            Some(_) => (!text.contains(['"', '\\', '$', '`', '!'])).then(|| text.to_owned()),
            None => {
                let escaped = |c: char| SPECIAL.contains(c).then_some('\\').into_iter().chain([c]);
                Some(text.chars().flat_map(escaped).collect())
            }
        }
    }
}

/// The text without quotes and backslashes, and the quote that is still open.
fn unquoted(text: &str) -> (String, Option<char>) {
    let mut plain = String::with_capacity(text.len());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => plain.extend(chars.next()),
            _ => plain.push(c),
        }
    }
    (plain, quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shell: Shell, words: &[&str]) -> Line {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Line::new(shell, &words, words.len() - 1)
    }

    #[test]
    fn bash_splits_words_that_belong_together() {
        for (words, before, word, fixed) in [
            (&["bsub", "-q", ""][..], "bsub -q", "", ""),
            (&["bsub", "--queue", "="], "bsub", "--queue=", "--queue="),
            (&["bsub", "--queue", "=", "na"], "bsub", "--queue=na", "--queue="),
            (
                &["bsub", "--queue", "=", "a", "-d", "afterok", ":", "8f"],
                "bsub --queue=a -d",
                "afterok:8f",
                "afterok:",
            ),
            (&["bsub", "-d", "afterok", ":"], "bsub -d", "afterok:", "afterok:"),
            (&["bsub", "'a b'", "\"c"], "bsub a b", "c", ""),
            (&["bstat", ":"], "", "bstat:", "bstat:"),
        ] {
            let line = of(Shell::Bash, words);
            if words.len() > 2 {
                let found = (line.before.join(" "), line.word.as_str(), line.fixed.as_str());
                assert_eq!(found, (before.to_owned(), word, fixed), "{words:?}");
            }
        }
    }

    #[test]
    fn candidates_are_what_the_shell_inserts() {
        let odd = Candidate { word: "a b:c$".into(), description: "x: y".into(), needs_description: true };
        let two = [odd, Candidate::plain("a'")];
        let of = |shell, words: &[&str], is_menu| of(shell, words).lines(shell, &two, is_menu).join("|");
        assert_eq!(of(Shell::Bash, &["bsub", "-c", "a"], false), "a\\ b:c\\$  (x: y)|a\\'");
        assert_eq!(of(Shell::Bash, &["bsub", "-c", "a"], true), "a\\ b:c\\$|a\\'");
        assert_eq!(of(Shell::Bash, &["bsub", "-c", "'a"], true), "a b:c$");
        assert_eq!(of(Shell::Bash, &["bsub", "-c", "\"a"], true), "a'");
        assert_eq!(of(Shell::Zsh, &["bsub", "-c", "a"], false), "a b\\:c$:x: y|a'");
        assert_eq!(of(Shell::Fish, &["bsub", "-c", "a"], false), "a b:c$\tx: y|a'");
    }
}

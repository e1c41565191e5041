//! Numbers, times and lists in plain words.

use std::fmt;

/// A time span: `12 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`.
pub fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (large, small, units) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (seconds / 60, seconds % 60, ("min", "s")),
        3600..86_400 => (seconds / 3600, seconds % 3600 / 60, ("h", "min")),
        _ => (seconds / 86_400, seconds % 86_400 / 3600, ("d", "h")),
    };
    if small == 0 {
        format!("{large} {}", units.0)
    } else {
        format!("{large} {} {small} {}", units.0, units.1)
    }
}

/// `1 job`, `2 jobs`, `2 children`.
pub fn many<N: fmt::Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    match count {
        n if n == N::from(1) => format!("1 {one}"),
        n if one.ends_with("child") => format!("{n} {one}ren"),
        n => format!("{n} {one}s"),
    }
}

/// vCPUs: `1 vCPU`, `16 vCPUs`, `0.25 vCPUs`.
pub fn vcpus(count: f64) -> String {
    many(count, "vCPU")
}

/// Memory: a whole number of GiB, or else MiB.
pub fn memory(mib: u64) -> String {
    if mib >= 1024 && mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

/// `a`, `a and b`, `a, b and c`.
pub fn and<T: AsRef<str>>(items: &[T]) -> String {
    joined(items, "and")
}

/// `a`, `a or b`, `a, b or c`.
pub fn or<T: AsRef<str>>(items: &[T]) -> String {
    joined(items, "or")
}

fn joined<T: AsRef<str>>(items: &[T], by: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {by} {}", first.join(", "), last.as_ref())
        }
    }
}

/// The first items of a list, and the number of the others.
pub fn some<T: AsRef<str>>(items: &[T], most: usize) -> String {
    if items.len() <= most {
        return and(items);
    }
    let shown: Vec<&str> = items.iter().take(most).map(AsRef::as_ref).collect();
    format!("{} and {} more", shown.join(", "), items.len() - most)
}

/// A child of an array: `child 3`, or `task 7 (:3)` where it has a task ID that is not its index.
pub fn child(index: u32, task: Option<u32>) -> String {
    match task {
        Some(task) => format!("task {task} (:{index})"),
        None => format!("child {index}"),
    }
}

/// Indices with consecutive ones combined: `0-3, 7 and 9-12`.
pub fn indices(sorted: &[u32], most: usize) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &index in sorted {
        match runs.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(index) => *end = index,
            _ => runs.push((index, index)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .take(most)
        .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
        .collect();
    if runs.len() > most { format!("{}, …", shown.join(", ")) } else { and(&shown) }
}

/// An ordinal number: `1st`, `2nd`, `11th`.
pub fn place(n: usize) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let spans =
            [-5, 999, 59_999, 60_000, 185_000, 3_600_000, 7_500_000, 86_400_000, 273_600_000].map(span);
        let words = ["0 s", "0 s", "59 s", "1 min", "3 min 5 s", "1 h", "2 h 5 min", "1 d", "3 d 4 h"];
        assert_eq!(spans, words);
    }

    #[test]
    fn lists() {
        assert_eq!(and::<&str>(&[]), "");
        assert_eq!(and(&["a", "b", "c"]), "a, b and c");
        assert_eq!(some(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(indices(&[0, 1, 2, 7, 9, 10], 5), "0-2, 7 and 9-10");
        assert_eq!(indices(&[0, 2, 4, 6], 2), "0, 2, …");
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(place),
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
        );
        assert_eq!(many(1_u32, "child"), "1 child");
        assert_eq!(many(3_u32, "failed child"), "3 failed children");
        assert_eq!(memory(2048), "2 GiB");
        assert_eq!(memory(1500), "1500 MiB");
        assert_eq!(vcpus(0.25), "0.25 vCPUs");
    }
}

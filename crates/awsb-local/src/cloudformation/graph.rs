//! The order of resources: each after those that it depends on.

use std::collections::{BTreeMap, BTreeSet};

/// The names, each after all that it depends on. Dependencies on other names are ignored.
///
/// # Errors
/// The names that are in a circle, or depend on one.
pub fn order(dependencies: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>, Vec<String>> {
    // For each name, those that wait for it, and the number of names that it waits for itself.
    let mut waiting: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    let mut missing: BTreeMap<&String, usize> = BTreeMap::new();
    for (name, needs) in dependencies {
        let needs = needs.iter().filter(|need| dependencies.contains_key(*need));
        missing.insert(name, needs.clone().count());
        needs.for_each(|need| waiting.entry(need).or_default().push(name));
    }
    let mut ordered: Vec<String> = Vec::with_capacity(dependencies.len());
    let mut ready: BTreeSet<&String> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while !ready.is_empty() {
        let mut next = BTreeSet::new();
        for name in ready {
            ordered.push(name.clone());
            for other in waiting.remove(name).unwrap_or_default() {
                if let Some(count) = missing.get_mut(other) {
                    *count -= 1;
                    if *count == 0 {
                        next.insert(other);
                    }
                }
            }
        }
        ready = next;
    }
    match ordered.len() == dependencies.len() {
        true => Ok(ordered),
        false => {
            Err(missing.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name.clone()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(name, needs)| ((*name).to_owned(), names(needs))).collect()
    }

    #[test]
    fn each_comes_after_what_it_needs() {
        let ordered = order(&graph(&[("a", &["c", "elsewhere"]), ("b", &[]), ("c", &["b"])])).unwrap();
        assert_eq!(ordered, ["b", "c", "a"]);
    }

    #[test]
    fn a_circle_is_named() {
        let circle = order(&graph(&[("a", &["b"]), ("b", &["a"]), ("c", &[])])).unwrap_err();
        assert_eq!(circle, ["a", "b"]);
        assert!(order(&graph(&[("a", &["a"])])).is_err());
    }

    #[test]
    fn a_long_chain_takes_no_time() {
        let name = |at: usize| format!("n{at:06}");
        // Each needs the one that comes after it in the alphabet.
        let chain: BTreeMap<String, BTreeSet<String>> =
            (0..50_000).map(|at| (name(at), [name(at + 1)].into())).collect();
        let begun = std::time::Instant::now();
        let ordered = order(&chain).unwrap();
        assert_eq!(ordered.first(), Some(&name(49_999)));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}

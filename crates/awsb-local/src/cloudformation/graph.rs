//! The order of resources: each after those that it depends on.

use std::collections::{BTreeMap, BTreeSet};

/// The names, each after all that it depends on. Dependencies on other names are ignored.
///
/// # Errors
/// The names that are in a circle, or depend on one.
pub fn order(dependencies: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>, Vec<String>> {
    let mut ordered = Vec::with_capacity(dependencies.len());
    let mut placed = BTreeSet::new();
    while ordered.len() < dependencies.len() {
        let is_ready = |needs: &BTreeSet<String>| {
            needs.iter().all(|name| placed.contains(name) || !dependencies.contains_key(name))
        };
        let ready: Vec<&String> = dependencies
            .iter()
            .filter(|(name, needs)| !placed.contains(*name) && is_ready(needs))
            .map(|(name, _)| name)
            .collect();
        if ready.is_empty() {
            return Err(dependencies.keys().filter(|name| !placed.contains(*name)).cloned().collect());
        }
        ordered.extend(ready.iter().map(|name| (*name).clone()));
        placed.extend(ready.into_iter().cloned());
    }
    Ok(ordered)
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
}

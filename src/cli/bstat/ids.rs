//! Job IDs as a terminal shows them: as short as they can be without becoming ambiguous.

/// A shortened ID has at least this many characters.
const MIN_LENGTH: usize = 8;

/// The IDs among which a shortened one must be unique.
#[derive(Debug, Clone, Default)]
pub struct ShortIds(Vec<String>);

impl ShortIds {
    /// These IDs. Children and nodes count as their parents.
    pub fn of<'i>(ids: impl IntoIterator<Item = &'i str>) -> Self {
        let mut whole: Vec<String> = ids.into_iter().map(|id| split(id).0.to_owned()).collect();
        whole.sort_unstable();
        whole.dedup();
        Self(whole)
    }

    /// The shortest beginning of the ID that none of the others has, with the index of a child or
    /// node.
    pub fn shortest(&self, id: &str) -> String {
        let (whole, part) = split(id);
        let at = self.0.partition_point(|other| other.as_str() < whole);
        let before = at.checked_sub(1).and_then(|before| self.0.get(before));
        let mut behind = self.0[at..].iter().filter(|other| *other != whole);
        let shared = before
            .into_iter()
            .chain(behind.next())
            .map(|other| common_length(whole, other))
            .max()
            .unwrap_or(0);
        let mut length = MIN_LENGTH.max(shared + 1);
        // A hyphen at the end does not help.
        if whole.as_bytes().get(length - 1) == Some(&b'-') {
            length += 1;
        }
        format!("{}{part}", whole.get(..length).unwrap_or(whole))
    }
}

/// The ID of the whole job, and the index of a child (`:7`) or a node (`#0`).
fn split(id: &str) -> (&str, &str) {
    id.split_at(id.find([':', '#']).unwrap_or(id.len()))
}

/// The length of the common beginning, in bytes.
fn common_length(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_as_long_as_it_has_to_be() {
        let one = "8f2c0d3e-1111-4222-8333-444455556666";
        let twin = "8f2c0d3e-1119-4222-8333-444455556666";
        let neighbour = "8f2c0d3f-1111-4222-8333-444455556666";
        let near = "8f2c0d3e-2111-4222-8333-444455556666";
        for (others, shown) in [
            (&[one][..], "8f2c0d3e"),
            (&[one, neighbour], "8f2c0d3e"),
            (&[one, near], "8f2c0d3e-1"),
            (&[neighbour, twin, one], "8f2c0d3e-1111"),
            (&[], "8f2c0d3e"),
        ] {
            let ids = ShortIds::of(others.iter().copied());
            assert_eq!(ids.shortest(one), shown, "{others:?}");
            assert_eq!(ids.shortest(&format!("{one}:17")), format!("{shown}:17"));
            assert_eq!(ids.shortest(&format!("{one}#0")), format!("{shown}#0"));
        }
        let short = ShortIds::of(["ab", "abc:1", "abc:2"]);
        assert_eq!((short.shortest("ab"), short.shortest("abc:2")), ("ab".to_owned(), "abc:2".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_means_one_job(ids in proptest::collection::vec("[0-1]{8}-[0-1]{4}-[0-1]{4}", 1..40)) {
            let short = ShortIds::of(ids.iter().map(String::as_str));
            for id in &ids {
                let shown = short.shortest(id);
                proptest::prop_assert!(id.starts_with(&shown) && shown.len() >= 8);
                proptest::prop_assert!(ids.iter().all(|other| other == id || !other.starts_with(&shown)));
            }
        }
    }
}

//! Listings: keys, common prefixes, and pages of both (S3 User Guide, "Organizing objects using
//! prefixes").

use std::ops::Bound;

use s3s::{S3Result, s3_error};

use super::store::{Object as Stored, Store, StoreError};

/// One page of a listing.
#[derive(Debug)]
pub struct Listing {
    /// The bucket.
    pub bucket: String,
    /// The prefix of the keys.
    pub prefix: String,
    /// The end of a common prefix; never empty.
    pub delimiter: Option<String>,
    /// The key or common prefix that the page comes after.
    pub after: String,
    /// How many keys and common prefixes there are at most.
    pub limit: usize,
}

/// The entries of a page.
#[derive(Debug, Default)]
pub struct Page {
    /// Keys.
    pub objects: Vec<Stored>,
    /// Common prefixes.
    pub prefixes: Vec<String>,
    /// The last key or prefix returned, when there is more.
    pub next: Option<String>,
}

impl Listing {
    /// Reads the page.
    ///
    /// # Errors
    /// When there is no such bucket, or the index cannot be read.
    pub fn run(self, store: &Store) -> Result<Page, StoreError> {
        let mut page = Page::default();
        if self.limit == 0 {
            // S3 says that there is nothing more, either.
            store.require_bucket(&self.bucket)?;
            return Ok(page);
        }
        let mut from = Bound::Excluded(self.after);
        // A continuation that is a common prefix skips everything under it.
        if let (Bound::Excluded(after), Some(d)) = (&from, &self.delimiter)
            && after.len() > self.prefix.len()
            && after.ends_with(d.as_str())
        {
            let Some(behind) = behind(after) else { return Ok(page) };
            from = Bound::Included(behind);
        }
        loop {
            let room = self.limit - page.objects.len() - page.prefixes.len();
            // With a delimiter, what follows the first key under a common prefix is read in vain.
            let wanted = if self.delimiter.is_some() { 16.min(room + 1) } else { room + 1 };
            let found = store.list(&self.bucket, &self.prefix, from.as_ref().map(String::as_str), wanted)?;
            let more = found.len() == wanted;
            let mut skipped = false;
            for object in found {
                if page.objects.len() + page.prefixes.len() == self.limit {
                    return Ok(page);
                }
                let common = self.delimiter.as_ref().and_then(|d| {
                    let at = object.key.get(self.prefix.len()..)?.find(d.as_str())?;
                    object.key.get(..self.prefix.len() + at + d.len()).map(str::to_owned)
                });
                match common {
                    Some(prefix) => {
                        page.prefixes.push(prefix.clone());
                        let Some(behind) = behind(&prefix) else {
                            page.next = None;
                            return Ok(page);
                        };
                        from = Bound::Included(behind);
                        page.next = Some(prefix);
                        skipped = true;
                        break;
                    }
                    None => {
                        from = Bound::Excluded(object.key.clone());
                        page.next = Some(object.key.clone());
                        page.objects.push(object);
                    }
                }
            }
            if !more && !skipped {
                page.next = None;
                return Ok(page);
            }
        }
    }
}

/// The first text behind all texts with a prefix; `None` when no such text exists. Text is compared
/// by its bytes, which in UTF-8 is the order of the characters.
fn behind(prefix: &str) -> Option<String> {
    let (at, last) = prefix.char_indices().rfind(|(_, c)| *c != char::MAX)?;
    let next = (last..=char::MAX).nth(1)?;
    Some(format!("{}{next}", &prefix[..at]))
}

/// The most entries of a page (API: ListObjectsV2).
const PAGE: i32 = 1000;

/// The most entries of a page: the value of the parameter `name`, within bounds.
///
/// # Errors
/// When the value is negative.
pub fn limit(asked: Option<i32>, name: &str) -> S3Result<i32> {
    match asked {
        None => Ok(PAGE),
        Some(n) if n >= 0 => Ok(n.min(PAGE)),
        Some(_) => Err(s3_error!(InvalidArgument, "{name} must not be negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Condition, New};
    use super::*;

    #[test]
    fn what_is_behind_a_prefix_is_behind_all_its_keys() {
        assert_eq!(behind("a/").as_deref(), Some("a0"));
        assert_eq!(behind("a\u{D7FF}").as_deref(), Some("a\u{E000}"));
        assert_eq!(behind("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(behind("\u{10FFFF}"), None);
        assert_eq!(behind(""), None);
    }

    #[test]
    fn each_common_prefix_is_listed_once_whatever_the_keys_are() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(crate::home::files::OBJECTS)).unwrap();
        let store = Store::open(home.path(), &mut Vec::new()).unwrap();
        let keys = ["a/\u{10FFFF}", "a/\u{10FFFF}\u{10FFFF}x", "a/b", "a0", "b/c", "c\u{10FFFF}d"];
        for key in keys {
            let (name, path) = store.new_blob();
            std::fs::write(path, "").unwrap();
            let new = New { etag: "e", size: 0, blob: &name, crc64: "" };
            store.put("awsb-local", key, new, "{}", &Condition::None).unwrap();
        }
        let list = |delimiter: &str, limit| {
            let mut all = Vec::new();
            let mut after = String::new();
            loop {
                let listing = Listing {
                    bucket: "awsb-local".to_owned(),
                    prefix: String::new(),
                    delimiter: Some(delimiter.to_owned()),
                    after,
                    limit,
                };
                let page = listing.run(&store).unwrap();
                let mut found = page.prefixes;
                found.extend(page.objects.into_iter().map(|object| object.key));
                found.sort();
                all.extend(found);
                assert!(all.len() <= keys.len(), "{all:?}");
                match page.next {
                    Some(next) => after = next,
                    None => return all,
                }
            }
        };
        for limit in [1, 2, 100] {
            assert_eq!(list("/", limit), ["a/", "a0", "b/", "c\u{10FFFF}d"], "{limit}");
            let by_the_last = list("\u{10FFFF}", limit);
            assert_eq!(by_the_last, ["a/b", "a/\u{10FFFF}", "a0", "b/c", "c\u{10FFFF}"], "{limit}");
        }
    }
}

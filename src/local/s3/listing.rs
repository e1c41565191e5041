//! Listings: keys, common prefixes, and pages of both (S3 User Guide, "Organizing objects using prefixes").

use super::store::{Object as Stored, Store, StoreError};

/// One page of a listing.
#[derive(Debug)]
pub struct Listing {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    pub prefix: String,
    /// What ends a common prefix; never empty.
    pub delimiter: Option<String>,
    /// The key or common prefix that the page comes after.
    pub after: String,
    /// How many keys and common prefixes there are at most.
    pub limit: usize,
}

/// What a page holds.
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
        let mut after = self.after;
        // A continuation that is a common prefix skips everything under it.
        let is_prefix = |d: &String| after.len() > self.prefix.len() && after.ends_with(d.as_str());
        if self.delimiter.as_ref().is_some_and(is_prefix) {
            after.push(char::MAX);
        }
        loop {
            let room = self.limit - page.objects.len() - page.prefixes.len();
            // With a delimiter, what follows the first key under a common prefix is read in vain.
            let wanted = if self.delimiter.is_some() { 16.min(room + 1) } else { room + 1 };
            let found = store.list(&self.bucket, &self.prefix, &after, wanted)?;
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
                        after = format!("{prefix}{}", char::MAX);
                        page.next = Some(prefix.clone());
                        page.prefixes.push(prefix);
                        skipped = true;
                        break;
                    }
                    None => {
                        after.clone_from(&object.key);
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

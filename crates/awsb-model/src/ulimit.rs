//! Limits of a container's processes.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Invalid;

/// `NAME=SOFT[:HARD]`, as for `docker run --ulimit` (API `Ulimit`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ulimit {
    /// One of the API's names.
    pub name: &'static str,
    /// The soft limit. -1 means unlimited.
    pub soft: i32,
    /// The hard limit, not below the soft one. -1 means unlimited.
    pub hard: i32,
}

impl Ulimit {
    /// The names of the limits of a container's processes (API `Ulimit`, `name`: "Valid values").
    pub const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
}

impl FromStr for Ulimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((name, limits)) = text.split_once('=') else {
            return Err(Invalid::because("a limit is NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096"));
        };
        let Some(name) = Self::NAMES.into_iter().find(|valid| *valid == name) else {
            return Err(Invalid::because(format!("'{name}' is not one of {}", Self::NAMES.join(", "))));
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (limit(soft)?, limit(hard)?);
        if hard != UNLIMITED && (soft == UNLIMITED || soft > hard) {
            return Err(Invalid::because("the soft limit is above the hard one"));
        }
        Ok(Self { name, soft, hard })
    }
}

impl fmt::Display for Ulimit {
    /// Writes the limit as it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, word(self.soft), word(self.hard))
    }
}

/// A limit as it is read.
fn word(limit: i32) -> String {
    if limit == UNLIMITED { "unlimited".to_owned() } else { limit.to_string() }
}

const UNLIMITED: i32 = -1;

fn limit(text: &str) -> Result<i32, Invalid> {
    if matches!(text, "unlimited" | "-1") {
        return Ok(UNLIMITED);
    }
    let good = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| good)
        .ok_or_else(|| Invalid::because("a limit is a whole number up to 2147483647, or `unlimited`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(i32, i32)> {
        text.parse::<Ulimit>().ok().map(|u| (u.soft, u.hard))
    }

    #[test]
    fn as_docker_has_them() {
        assert_eq!(parsed("nofile=1024:4096"), Some((1024, 4096)));
        assert_eq!(parsed("nofile=64"), Some((64, 64)));
        assert_eq!(parsed("memlock=-1"), Some((-1, -1)));
        assert_eq!(parsed("core=0:unlimited"), Some((0, -1)));
        for bad in
            ["nofile", "nofile=", "nofile=2:1", "nofile=-1:5", "files=1", "nofile=+1", "nofile=-2", "=1"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC{0,20}|[a-z]{0,9}=[-0-9:a-z]{0,14}") {
            if let Ok(ulimit) = text.parse::<Ulimit>() {
                prop_assert!(ulimit.hard == -1 || ulimit.soft <= ulimit.hard);
            }
        }
    }
}

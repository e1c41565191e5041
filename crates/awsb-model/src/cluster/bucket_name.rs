//! The names of the bucket and of the repository that a cluster makes.

use sha2::{Digest, Sha256};

use super::config::{BucketName, ClusterName};

/// The name of a cluster's bucket: the value of the template's parameter `ResourcesS3Bucket`. The
/// same cluster always has the same bucket, so that a cluster that is made again finds the one that
/// was kept. Names of buckets are unique in all of AWS: a hash of the account, the region and the
/// cluster is a part of it.
pub fn bucket_name(name: &ClusterName, account: &str, region: &str) -> BucketName {
    let hash = hex::encode(Sha256::digest(format!("{account} {region} {name}")));
    let text = format!("{}{}", bucket_prefix(name), hash.get(..HASH_LENGTH).unwrap_or(&hash));
    text.parse().expect("a prefix of lower-case letters and digits, and hexadecimal digits, are a valid name")
}

/// Whether a bucket has a name that [`bucket_name()`] gives to this cluster, in any account.
pub fn is_bucket_name(bucket: &str, cluster: &ClusterName) -> bool {
    let hash = bucket.strip_prefix(&bucket_prefix(cluster));
    hash.is_some_and(|hash| hash.len() == HASH_LENGTH && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The name of the repository that a cluster makes. A repository has lower-case letters, digits,
/// and single `-` between them (ECR API, CreateRepository, `repositoryName`). A cluster whose name
/// has something else gets a hash of its name in the repository's, so that `LAB` and `lab-` do not
/// share the repository of `lab`.
pub fn repository_name(name: &ClusterName) -> String {
    let words = name.as_str().split('-').filter(|word| !word.is_empty());
    let plain = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    if plain == name.as_str() {
        return format!("awsb/{plain}");
    }
    let hash = hex::encode(Sha256::digest(name.as_str()));
    format!("awsb/{plain}-{}", hash.get(..HASH_LENGTH).unwrap_or(&hash))
}

/// The beginning of the name of a cluster's bucket, for policies.
pub(super) fn bucket_prefix(name: &ClusterName) -> String {
    let name = name.lower_case();
    let short = name.get(..NAME_LENGTH).unwrap_or(&name).trim_end_matches('-');
    format!("awsb-{short}-")
}

/// Characters of the cluster's name in the bucket's, which has at most 63 characters.
const NAME_LENGTH: usize = 40;
/// Hexadecimal digits of the hash.
pub(super) const HASH_LENGTH: usize = 12;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_repository_is_the_clusters_own() {
        let name = |name: &str| repository_name(&name.parse().unwrap());
        assert_eq!(name("lab-1"), "awsb/lab-1");
        let all: BTreeSet<String> = ["lab", "LAB", "Lab", "lab-", "lab--", "la-b", "la--b"].map(name).into();
        assert_eq!(all.len(), 7, "{all:?}");
        for name in all {
            let words = name.strip_prefix("awsb/").unwrap().split('-');
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            assert!(words.into_iter().all(|word| !word.is_empty() && word.bytes().all(good)), "{name}");
        }
    }

    #[test]
    fn a_bucket_is_the_clusters_own() {
        let name = |name: &str, account: &str, region: &str| {
            bucket_name(&name.parse().unwrap(), account, region).to_string()
        };
        let lab = name("lab", "111122223333", "eu-west-1");
        assert_eq!(lab, "awsb-lab-88fd2f1186f0");
        assert!(is_bucket_name(&lab, &"lab".parse().unwrap()));
        for other in ["awsb-lab-2-88fd2f1186f0", "awsb-lab-88fd2f1186f", "awsb-lab-", "lab-bucket-1"] {
            assert!(!is_bucket_name(other, &"lab".parse().unwrap()), "{other}");
        }
        let others = [
            name("Lab", "111122223333", "eu-west-1"),
            name("lab", "111122223333", "eu-west-2"),
            name("lab", "111122223334", "eu-west-1"),
            name(&"x".repeat(60), "111122223333", "eu-west-1"),
            name("a--", "111122223333", "eu-west-1"),
        ];
        assert!(others.iter().all(|other| *other != lab && other.len() <= 63), "{others:?}");
    }
}

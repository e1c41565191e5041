//! The layout of a cluster's objects in its bucket.

/// The key of an object, or a prefix of keys, below the cluster's prefix, which may be empty.
pub fn object_key(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// The `s3://` URL of an object, or of a prefix of keys.
pub fn object_url(bucket: &str, prefix: &str, name: &str) -> String {
    format!("s3://{bucket}/{}", object_key(prefix, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_empty() {
        assert_eq!(object_key("", "bundles/x"), "bundles/x");
        assert_eq!(object_url("b", "awsb/batch", "outputs"), "s3://b/awsb/batch/outputs");
    }
}

//! Why a push failed, according to the engine or, through it, to the registry. Pure.

use awsb_model::image::Repository;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushErrorKind {
    /// The credentials are missing, or do not allow a push.
    Denied,
    /// There is no such repository.
    NoRepository,
    /// The tag exists, and the repository does not allow tags to be moved.
    Immutable,
    /// A disk is full.
    NoSpace,
    /// The connection broke off, or the registry had an error of its own. A later attempt may work.
    BrokenOff,
    /// Any other failure.
    Other,
}

impl PushErrorKind {
    /// Reads a message. The registry's part begins with the code of its error (OCI Distribution
    /// Specification, "Error Codes"), in lower case and with blanks: `denied: `, `name unknown: `.
    pub fn read(message: &str) -> Self {
        let message = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if has(&["immutable", "cannot be overwritten"]) {
            Self::Immutable
        } else if has(&["name unknown", "repository not found"])
            || (has(&["repository"]) && has(&["does not exist"]) && !has(&["access"]))
        {
            Self::NoRepository
        } else if has(&["no space left on device", "disk quota exceeded"]) {
            Self::NoSpace
        } else if has(&[
            "denied",
            "unauthorized",
            "no basic auth credentials",
            "authentication required",
            "authorization token",
            "403 forbidden",
            "not authorized",
        ]) {
            Self::Denied
        } else if has(&[
            "connection reset",
            "broken pipe",
            "eof",
            "i/o timeout",
            "tls handshake timeout",
            "context deadline exceeded",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway",
            "server closed",
            "closed network connection",
            "timeout awaiting response headers",
        ]) {
            Self::BrokenOff
        } else {
            Self::Other
        }
    }

    /// A hint for the user.
    pub fn hint(self, repository: &Repository) -> Option<String> {
        let Repository { registry, name } = repository;
        match self {
            Self::Denied if registry.is_ecr() => Some(
                "pushing needs the permissions ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, \
                 ecr:UploadLayerPart, ecr:CompleteLayerUpload and ecr:PutImage"
                    .to_owned(),
            ),
            Self::Denied => Some(format!("log in there with `docker login {registry}`")),
            Self::NoRepository | Self::Other => None,
            Self::Immutable => Some(format!(
                "the repository {name} keeps each tag for the image that had it first: choose another with \
                 `--tag`"
            )),
            Self::NoSpace => Some("`docker system df` shows what takes the engine's space".to_owned()),
            Self::BrokenOff => Some("the same command sends only the layers that are missing".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_and_engines_say() {
        for (message, kind) in [
            (
                "denied: Your authorization token has expired. Reauthenticate and try again.",
                PushErrorKind::Denied,
            ),
            ("no basic auth credentials", PushErrorKind::Denied),
            ("unauthorized: authentication required", PushErrorKind::Denied),
            (
                "denied: User: arn:aws:iam::1:user/me is not authorized to perform: ecr:InitiateLayerUpload on \
                 resource: arn:aws:ecr:eu-west-1:1:repository/x because no identity-based policy allows it",
                PushErrorKind::Denied,
            ),
            (
                "name unknown: The repository with name 'x' does not exist in the registry with id '123456789012'",
                PushErrorKind::NoRepository,
            ),
            (
                "tag invalid: The image tag '1' already exists in the 'x' repository and cannot be overwritten \
                 because the repository is immutable.",
                PushErrorKind::Immutable,
            ),
            ("write /var/lib/docker/tmp/x: no space left on device", PushErrorKind::NoSpace),
            (
                "Put \"http://127.0.0.1:5000/v2/x/manifests/1\": read tcp 127.0.0.1:1->127.0.0.1:5000: read: \
                 connection reset by peer",
                PushErrorKind::BrokenOff,
            ),
            ("Head \"http://127.0.0.1:5000/v2/x/blobs/sha256:0\": EOF", PushErrorKind::BrokenOff),
            ("received unexpected HTTP status: 503 Service Unavailable", PushErrorKind::BrokenOff),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                PushErrorKind::Other,
            ),
            ("requested access to the resource is denied", PushErrorKind::Denied),
        ] {
            assert_eq!(PushErrorKind::read(message), kind, "{message}");
        }
    }

    #[test]
    fn what_to_do() {
        let hint = |kind: PushErrorKind, registry: &str| {
            let registry = registry.parse().unwrap();
            kind.hint(&Repository { registry, name: "lab/x".parse().unwrap() }).unwrap_or_default()
        };
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        assert!(hint(PushErrorKind::Denied, ecr).contains("ecr:PutImage"));
        assert!(hint(PushErrorKind::Denied, "127.0.0.1:5000").contains("docker login 127.0.0.1:5000"));
        assert_eq!(hint(PushErrorKind::NoRepository, "127.0.0.1:5000"), "");
    }
}

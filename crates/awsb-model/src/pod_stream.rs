//! The names of the log streams that hold the output of pods on EKS.

use std::str::FromStr;

use crate::Invalid;

/// The names that a log stream's name is made of. One may be unknown: a pod that has not been
/// placed has no node.
#[derive(Debug, Clone, Copy, Default)]
pub struct PodNames<'a> {
    /// The pod.
    pub pod: Option<&'a str>,
    /// The Kubernetes namespace.
    pub namespace: Option<&'a str>,
    /// The node that runs it.
    pub node: Option<&'a str>,
    /// The container.
    pub container: Option<&'a str>,
}

/// A log stream's name, or the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodStream {
    /// The whole name.
    Name(String),
    /// The name begins so.
    Prefix(String),
}

/// How the log streams of pods are named, by what collects their output: text with `{pod}`,
/// `{namespace}`, `{node}` and `{container}`, and a `*` at its end where more follows, such as the
/// container's ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStreamPattern {
    parts: Vec<Part>,
    is_prefix: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Pod,
    Namespace,
    Node,
    Container,
}

const PLACEHOLDERS: &str = "{pod}, {namespace}, {node} and {container}";

impl FromStr for PodStreamPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (mut rest, is_prefix) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parts = Vec::new();
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            let known = [
                ("{pod}", Part::Pod),
                ("{namespace}", Part::Namespace),
                ("{node}", Part::Node),
                ("{container}", Part::Container),
            ];
            let found =
                known.into_iter().find_map(|(word, part)| Some((rest[at..].strip_prefix(word)?, part)));
            let (after, part) =
                found.ok_or_else(|| Invalid::because(format!("in braces it has {PLACEHOLDERS} only")))?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        // A log stream's name has neither (API `LogStreamName`).
        let is_text = |part: &&Part| matches!(part, Part::Text(text) if text.contains([':', '*']));
        if parts.iter().any(|part| is_text(&part)) {
            return Err(Invalid::because(
                "a `*` can only be its end, and log streams have no `:` in their names",
            ));
        }
        // Lines of another job would be shown.
        if !parts.contains(&Part::Pod) {
            return Err(Invalid::because("it lacks {pod}, which tells one job from another"));
        }
        if is_prefix && !matches!(parts.last(), Some(Part::Text(_))) {
            return Err(Invalid::because(
                "another character has to be before `*`, as one pod's name may begin with another's",
            ));
        }
        Ok(Self { parts, is_prefix })
    }
}

impl PodStreamPattern {
    /// Whether each container of a pod has a stream of its own.
    pub fn tells_containers_apart(&self) -> bool {
        self.parts.contains(&Part::Container)
    }

    /// The stream of a container; `None` when a name that it needs is unknown.
    pub fn stream(&self, names: PodNames<'_>) -> Option<PodStream> {
        let mut name = String::new();
        for part in &self.parts {
            name.push_str(match part {
                Part::Text(text) => text,
                Part::Pod => names.pod?,
                Part::Namespace => names.namespace?,
                Part::Node => names.node?,
                Part::Container => names.container?,
            });
        }
        Some(if self.is_prefix { PodStream::Prefix(name) } else { PodStream::Name(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pattern: &str) -> Result<Option<PodStream>, String> {
        let names = PodNames {
            pod: Some("aws-batch.f00d"),
            namespace: Some("lab"),
            node: None,
            container: Some("main"),
        };
        pattern.parse().map(|pattern: PodStreamPattern| pattern.stream(names)).map_err(|why| why.to_string())
    }

    #[test]
    fn names_are_put_into_patterns() {
        assert_eq!(stream("{pod}"), Ok(Some(PodStream::Name("aws-batch.f00d".into()))));
        assert_eq!(
            stream("c/{pod}_{namespace}_{container}-*"),
            Ok(Some(PodStream::Prefix("c/aws-batch.f00d_lab_main-".into())))
        );
        assert_eq!(stream("{node}.{pod}"), Ok(None));
    }

    #[test]
    fn what_could_name_another_jobs_stream_is_refused() {
        for pattern in ["", "*", "{container}", "{pod}*", "{pod", "{Pod}", "{pod}}", "{pod}-*-*", "a:{pod}"] {
            assert!(stream(pattern).is_err(), "{pattern}");
        }
    }
}

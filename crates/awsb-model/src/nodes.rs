//! The nodes of a multi-node parallel job.

use std::fmt;
use std::str::FromStr;

use super::digits::digits;
use super::{Invalid, NodeGroup, limits, words};

/// The nodes of a job (API `NodeOverrides`, `numNodes`): one, which is an ordinary job, or within
/// [`limits::NODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes(u32);

impl Nodes {
    /// The number of nodes.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of nodes of a multi-node parallel job. `None` for an ordinary job.
    pub fn parallel(self) -> Option<u32> {
        Some(self.0).filter(|n| *n > 1)
    }
}

/// A range of nodes in a job definition. The nodes of a range are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTargets {
    /// The range in the job definition's own words, such as `0:`. Overrides must repeat them.
    pub targets: String,
    /// The vCPUs of each node. `None`: neither the job nor its definition has them.
    pub vcpus: Option<f64>,
    /// The group of nodes that the range is for; `None` for the job's first nodes.
    pub group: Option<NodeGroup>,
}

/// The nodes of a multi-node parallel job, with the ranges of its job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct JobNodes {
    /// The number of nodes.
    pub count: u32,
    /// The node ranges of the job definition. Overrides for all nodes must name each of them.
    pub ranges: Vec<NodeTargets>,
}

impl fmt::Display for JobNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::many(self.count, "node"))?;
        let size = |vcpus: f64| format!(" x {vcpus} vCPU{}", if vcpus > 1.0 { "s" } else { "" });
        let Some((first, others)) = self.ranges.split_first() else { return Ok(()) };
        if others.iter().all(|range| range.vcpus == first.vcpus) {
            return first.vcpus.map_or(Ok(()), |vcpus| f.write_str(&size(vcpus)));
        }
        for (n, NodeTargets { targets, vcpus, .. }) in self.ranges.iter().enumerate() {
            let size = vcpus.map(size).unwrap_or_default();
            write!(f, "{} nodes {targets}{size}", if n == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Nodes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match digits(text) {
            Some(n) if n == 1 || limits::NODES.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("a job has 1 to 1000 nodes")),
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Gpus;
    use super::*;

    #[test]
    fn numbers_in_their_range() {
        assert_eq!("8".parse::<Gpus>().map(|g| g.to_string()), Ok("8".into()));
        assert_eq!("1000".parse::<Nodes>().map(Nodes::get), Ok(1000));
        for bad in ["0", "-1", "+2", "", "x", "1.5", "99999999999"] {
            assert!(bad.parse::<Gpus>().is_err() && bad.parse::<Nodes>().is_err(), "{bad}");
        }
        assert_eq!("1".parse::<Nodes>().map(Nodes::parallel), Ok(None));
        assert!("1001".parse::<Nodes>().is_err());
    }

    #[test]
    fn nodes_of_a_job_with_their_vcpus() {
        let shown = |sizes: &[(&str, Option<f64>)]| {
            let range = |&(targets, vcpus): &(&str, _)| NodeTargets {
                targets: String::from(targets),
                vcpus,
                group: None,
            };
            let ranges = sizes.iter().map(range).collect();
            JobNodes { count: 3, ranges }.to_string()
        };
        assert_eq!(shown(&[("0:", None)]), "3 nodes");
        assert_eq!(shown(&[("0:", Some(1.0))]), "3 nodes x 1 vCPU");
        assert_eq!(shown(&[("0:0", Some(2.0)), ("1:", Some(2.0))]), "3 nodes x 2 vCPUs");
        let mixed = [("0:0", Some(1.0)), ("1:", Some(8.0))];
        assert_eq!(shown(&mixed), "3 nodes: nodes 0:0 x 1 vCPU, nodes 1: x 8 vCPUs");
        assert_eq!(shown(&[("0:0", None), ("1:", Some(8.0))]), "3 nodes: nodes 0:0, nodes 1: x 8 vCPUs");
    }
}

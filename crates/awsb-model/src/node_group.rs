//! A group of nodes of a multi-node parallel job: nodes that differ from the others in size, image
//! or command.

use std::fmt;
use std::str::FromStr;

use super::digits::digits;
use super::{Gpus, Image, Invalid, Memory, Resources, Vcpus, limits};

/// A group of nodes behind the first ones, as `NODES[,vcpus=N][,memory=SIZE][,gpus=N][,image=IMAGE]
/// [,command=LINE]`. What it does not set is as for the first nodes of the job.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGroup {
    /// The number of its nodes.
    pub nodes: u32,
    /// The resources of each node. 0 GPUs are none, also where the first nodes have some.
    pub resources: Resources,
    /// The image.
    pub image: Option<Image>,
    /// A command line for `/bin/sh`, in place of the job's script or command.
    pub command: Option<String>,
}

impl NodeGroup {
    /// The resources of a node, where the job has these for its first nodes.
    pub fn resources_over(&self, first: Resources) -> Resources {
        Resources {
            vcpus: self.resources.vcpus.or(first.vcpus),
            memory: self.resources.memory.or(first.memory),
            gpus: self.resources.gpus.or(first.gpus),
        }
    }
}

/// The node ranges of a job with these groups behind its `first` nodes (API `NodeRangeProperty`,
/// `targetNodes`). The last range has an open end.
pub fn ranges(first: u32, groups: &[NodeGroup]) -> Vec<String> {
    let mut begin = 0;
    let mut ranges = Vec::new();
    let counts: Vec<u32> = std::iter::once(first).chain(groups.iter().map(|group| group.nodes)).collect();
    for (at, count) in counts.iter().enumerate() {
        let end = if at + 1 == counts.len() { String::new() } else { (begin + count - 1).to_string() };
        ranges.push(format!("{begin}:{end}"));
        begin += count;
    }
    ranges
}

impl FromStr for NodeGroup {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (head, command) = match text.split_once(",command=") {
            Some((_, "")) => return Err(Invalid::because("`command=` has no command")),
            Some((head, command)) => (head, Some(command.to_owned())),
            None => (text, None),
        };
        let mut parts = head.split(',');
        let nodes = parts.next().and_then(digits).filter(|n| *n >= 1 && limits::NODES.end() >= n);
        let nodes =
            nodes.ok_or_else(|| Invalid::because("a group of nodes begins with their number, such as 4"))?;
        let mut group = Self { nodes, resources: Resources::default(), image: None, command };
        let mut keys = Vec::new();
        for part in parts {
            let key = part.split('=').next().unwrap_or_default();
            if keys.contains(&key) {
                return Err(Invalid::because(format!("`{key}=` is there twice")));
            }
            keys.push(key);
            match part.split_once('=') {
                Some(("vcpus", value)) => group.resources.vcpus = Some(value.parse::<Vcpus>()?),
                Some(("memory", value)) => group.resources.memory = Some(value.parse::<Memory>()?),
                Some(("gpus", "0")) => group.resources.gpus = Some(0),
                Some(("gpus", value)) => group.resources.gpus = Some(value.parse::<Gpus>()?.get()),
                Some(("image", value)) => group.image = Some(value.parse::<Image>()?),
                _ => {
                    return Err(Invalid::because(format!(
                        "'{part}' is none of vcpus=N, memory=SIZE, gpus=N, image=IMAGE and, as the last one, \
                         command=LINE"
                    )));
                }
            }
        }
        Ok(group)
    }
}

impl fmt::Display for NodeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.nodes)?;
        let Resources { vcpus, memory, gpus } = self.resources;
        vcpus.map_or(Ok(()), |vcpus| write!(f, ",vcpus={vcpus}"))?;
        memory.map_or(Ok(()), |memory| write!(f, ",memory={memory}M"))?;
        gpus.map_or(Ok(()), |gpus| write!(f, ",gpus={gpus}"))?;
        self.image.as_ref().map_or(Ok(()), |image| write!(f, ",image={image}"))?;
        self.command.as_ref().map_or(Ok(()), |command| write!(f, ",command={command}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_written_as_it_is_read() -> Result<(), Invalid> {
        for text in [
            "4",
            "2,gpus=0",
            "1,vcpus=8,memory=4096M,gpus=2,image=lab/solver:2",
            "2,command=./worker --all,vcpus=1",
        ] {
            assert_eq!(text.parse::<NodeGroup>()?.to_string(), text);
        }
        for bad in
            ["", "0", "x", "1001", "2,vcpus", "2,colour=red", "2,vcpus=0", "2,command=", "1,vcpus=1,vcpus=2"]
        {
            assert!(bad.parse::<NodeGroup>().is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn ranges_follow_each_other_and_the_last_is_open() -> Result<(), Invalid> {
        let groups: Vec<NodeGroup> = ["1".parse()?, "16".parse()?].to_vec();
        assert_eq!(ranges(2, &groups), ["0:1", "2:2", "3:"]);
        assert_eq!(ranges(2, &[]), ["0:"]);
        Ok(())
    }

    #[test]
    fn what_a_group_does_not_set_is_the_jobs() -> Result<(), Invalid> {
        let group: NodeGroup = "4,memory=8G".parse()?;
        let first = Resources { vcpus: Some("2".parse()?), memory: Some("1G".parse()?), gpus: Some(1) };
        let all = group.resources_over(first);
        assert_eq!((all.vcpus, all.memory.map(Memory::mib), all.gpus), (first.vcpus, Some(8192), Some(1)));
        Ok(())
    }
}

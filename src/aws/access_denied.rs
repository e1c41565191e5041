//! AWS's words for a permission that is missing.

use std::fmt;

/// Who may not do what, and why (IAM User Guide, `Troubleshoot access denied error messages`):
/// `User: WHO is not authorized to perform: ACTION on resource: RESOURCE because REASON`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied<'m> {
    who: &'m str,
    action: &'m str,
    resource: Option<&'m str>,
    reason: Option<&'m str>,
}

impl<'m> Denied<'m> {
    /// Reads a message; `None` when it is in other words.
    pub fn read(message: &'m str) -> Option<Self> {
        let (who, rest) = message.split_once(" is not authorized to perform: ")?;
        let who = who.rsplit_once("User: ").map_or(who, |(_, who)| who);
        let (what, reason) = [" because ", " with "]
            .iter()
            .find_map(|word| rest.split_once(word))
            .map_or((rest, None), |(what, reason)| (what, Some(reason.trim())));
        let (action, resource) = match what.split_once(" on resource: ") {
            Some((action, resource)) => (action, Some(resource.trim().trim_matches('"'))),
            None => (what, None),
        };
        let action = action.trim();
        let is_action = action.contains(':') && !action.contains(' ');
        (is_action && !who.is_empty()).then_some(Self { who, action, resource, reason })
    }
}

impl fmt::Display for Denied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no permission for {}", self.who, self.action)?;
        if let Some(resource) = self.resource {
            write!(f, " on {resource}")?;
        }
        if let Some(reason) = self.reason {
            write!(f, ": {}", reason.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_do_what_to_what_and_why() {
        for (message, said) in [
            (
                "User: arn:aws:iam::1:user/me is not authorized to perform: batch:ListJobs on resource: * because no \
                 identity-based policy allows the batch:ListJobs action",
                "arn:aws:iam::1:user/me has no permission for batch:ListJobs on *: no identity-based policy allows the \
                 batch:ListJobs action",
            ),
            (
                "User: arn:aws:sts::1:assumed-role/r/me is not authorized to perform: s3:PutObject on resource: \
                 \"arn:aws:s3:::b/k\" with an explicit deny in a service control policy",
                "arn:aws:sts::1:assumed-role/r/me has no permission for s3:PutObject on arn:aws:s3:::b/k: an explicit \
                 deny in a service control policy",
            ),
            (
                "User: arn:aws:iam::1:user/me is not authorized to perform: batch:TerminateJob",
                "arn:aws:iam::1:user/me has no permission for batch:TerminateJob",
            ),
        ] {
            assert_eq!(Denied::read(message).map(|d| d.to_string()).as_deref(), Some(said));
        }
        for other in [
            "Access Denied",
            "",
            "User: x is not authorized to perform: ",
            "a is not authorized to perform: b c",
        ] {
            assert_eq!(Denied::read(other), None, "{other}");
        }
    }
}

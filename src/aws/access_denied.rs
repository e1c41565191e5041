//! The message of AWS about a missing permission.

use std::fmt;

/// A missing permission (IAM User Guide, `Troubleshoot access denied error messages`):
/// `User: PRINCIPAL is not authorized to perform: ACTION on resource: RESOURCE because REASON`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessDenied<'m> {
    principal: &'m str,
    action: &'m str,
    resource: Option<&'m str>,
    reason: Option<&'m str>,
}

impl<'m> AccessDenied<'m> {
    /// Reads a message. `None`: it does not have this form.
    pub fn read(message: &'m str) -> Option<Self> {
        let (head, rest) = message.split_once(" is not authorized to perform: ")?;
        let principal = head.rsplit_once("User: ").map_or(head, |(_, principal)| principal);
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
        (is_action && !principal.is_empty()).then_some(Self { principal, action, resource, reason })
    }
}

impl fmt::Display for AccessDenied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no permission for {}", self.principal, self.action)?;
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
    fn a_message_names_the_principal_the_action_the_resource_and_the_reason() {
        for (message, text) in [
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
            assert_eq!(AccessDenied::read(message).map(|d| d.to_string()).as_deref(), Some(text));
        }
        for other in [
            "Access Denied",
            "",
            "User: x is not authorized to perform: ",
            "a is not authorized to perform: b c",
        ] {
            assert_eq!(AccessDenied::read(other), None, "{other}");
        }
    }
}

//! The next step of `create` when a stack has the cluster's name already. Nothing here calls AWS.

use super::journal::{Kind, Operation};
use super::stack::{Maker, Stack};
use super::status::Phase;

/// How `create` goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing has the name: a new operation begins.
    Free,
    /// An earlier run has begun this operation and not executed it: it goes on.
    Resume(Operation),
    /// An earlier run has executed its operation, which is under way: it is followed.
    Follow(Operation),
    /// The cluster exists, and an earlier run of this command has made it.
    Made(Operation),
    /// The remains of an earlier attempt are removed first. The operation of that attempt, if it
    /// was one of ours, is at an end.
    Remove,
    /// A stack of this name is being deleted: its end is awaited first.
    AwaitDeletion,
    /// The name is taken.
    Taken(Taken),
}

/// Why a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// By a cluster of ours.
    ByCluster,
    /// By a cluster of ours that somebody else is making or changing just now.
    ByOperation,
    /// By a cluster of ParallelCluster.
    ByParallelCluster,
    /// By a stack that is not a cluster.
    ByStack,
}

/// Decides how `create` goes on. `recorded` is the operation in the journal, and `wanted` the one
/// that this command would begin.
pub fn standing(stack: Option<&Stack>, recorded: Option<&Operation>, wanted: &Operation) -> Standing {
    let recorded = recorded.filter(|operation| operation.kind == Kind::Create);
    // A call whose answer was lost may still be on its way: the same token makes it harmless.
    let resumable = recorded.filter(|operation| operation.is_same(wanted));
    let Some(stack) = stack else {
        return match resumable {
            Some(operation) => Standing::Resume(operation.clone()),
            None => Standing::Free,
        };
    };
    match stack.maker() {
        Maker::Awsb => {}
        Maker::ParallelCluster => return Standing::Taken(Taken::ByParallelCluster),
        Maker::Other => return Standing::Taken(Taken::ByStack),
    }
    let own = recorded.filter(|operation| {
        operation.stack_id.as_deref() == Some(&stack.id)
            || stack.change_set.as_deref().is_some_and(|set| operation.owns(set))
    });
    match (stack.status.phase(), own) {
        (Phase::Review, _) => match resumable {
            Some(operation) => Standing::Resume(operation.clone()),
            None => Standing::Remove,
        },
        (Phase::Creating | Phase::CreateRollback, Some(own)) => Standing::Follow(own.clone()),
        (Phase::Creating | Phase::CreateRollback | Phase::Updating | Phase::Unknown, _) => {
            Standing::Taken(Taken::ByOperation)
        }
        (Phase::CreateFailed, _) => Standing::Remove,
        // A deletion that failed after a creation that failed: the same stack, which was never
        // used.
        (Phase::DeleteFailed, Some(_)) => Standing::Remove,
        (Phase::Deleting, _) => Standing::AwaitDeletion,
        (Phase::Deleted, _) => Standing::Free,
        (Phase::Ready, Some(own)) => Standing::Made(own.clone()),
        (Phase::Ready | Phase::UpdateRollbackFailed | Phase::DeleteFailed, _) => {
            Standing::Taken(Taken::ByCluster)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::CLUSTER_TAG;
    use super::*;

    fn stack(status: &str) -> Stack {
        Stack {
            id: "arn:stack/lab/1".into(),
            name: "lab".into(),
            status: status.into(),
            tags: [(CLUSTER_TAG.to_owned(), "lab".to_owned())].into(),
            ..Stack::default()
        }
    }

    #[test]
    fn a_command_goes_on_where_it_was_killed() {
        let wanted = Operation::new(Kind::Create, "content");
        let begun = Operation::new(Kind::Create, "content");
        let at =
            |status: &str, operation: &Operation| standing(Some(&stack(status)), Some(operation), &wanted);
        // Before the call, or with its answer lost.
        assert_eq!(standing(None, Some(&begun), &wanted), Standing::Resume(begun.clone()));
        assert_eq!(at("REVIEW_IN_PROGRESS", &begun), Standing::Resume(begun.clone()));
        // With the stack known.
        let known = Operation { stack_id: Some("arn:stack/lab/1".into()), ..begun.clone() };
        for (status, expected) in [
            ("CREATE_IN_PROGRESS", Standing::Follow(known.clone())),
            ("ROLLBACK_IN_PROGRESS", Standing::Follow(known.clone())),
            ("CREATE_COMPLETE", Standing::Made(known.clone())),
            ("ROLLBACK_COMPLETE", Standing::Remove),
            ("ROLLBACK_FAILED", Standing::Remove),
            ("DELETE_FAILED", Standing::Remove),
            ("DELETE_IN_PROGRESS", Standing::AwaitDeletion),
        ] {
            assert_eq!(at(status, &known), expected, "{status}");
        }
        // The stack is known by its change set, too.
        let by_set = Stack {
            change_set: Some(format!("arn:aws:cloudformation:r:1:changeSet/{}/x", begun.change_set())),
            ..stack("CREATE_IN_PROGRESS")
        };
        assert_eq!(standing(Some(&by_set), Some(&begun), &wanted), Standing::Follow(begun));
    }

    #[test]
    fn another_configuration_begins_anew_where_nothing_was_made() {
        let wanted = Operation::new(Kind::Create, "content");
        let other = Operation::new(Kind::Create, "other content");
        assert_eq!(standing(None, Some(&other), &wanted), Standing::Free);
        assert_eq!(standing(Some(&stack("REVIEW_IN_PROGRESS")), Some(&other), &wanted), Standing::Remove);
        assert_eq!(standing(Some(&stack("REVIEW_IN_PROGRESS")), None, &wanted), Standing::Remove);
    }

    #[test]
    fn what_is_taken_is_not_touched() {
        let wanted = Operation::new(Kind::Create, "content");
        let on = |stack: &Stack| standing(Some(stack), None, &wanted);
        let tagged = |key: &str| Stack {
            tags: [(key.to_owned(), "x".to_owned())].into(),
            parameters: [("Scheduler".to_owned(), "awsbatch".to_owned())].into(),
            ..stack("ROLLBACK_COMPLETE")
        };
        assert_eq!(on(&tagged("Name")), Standing::Taken(Taken::ByStack));
        assert_eq!(on(&tagged("parallelcluster:version")), Standing::Taken(Taken::ByParallelCluster));
        for (status, taken) in [
            ("CREATE_COMPLETE", Taken::ByCluster),
            ("UPDATE_ROLLBACK_FAILED", Taken::ByCluster),
            ("DELETE_FAILED", Taken::ByCluster),
            ("CREATE_IN_PROGRESS", Taken::ByOperation),
            ("UPDATE_IN_PROGRESS", Taken::ByOperation),
        ] {
            assert_eq!(on(&stack(status)), Standing::Taken(taken), "{status}");
        }
    }
}

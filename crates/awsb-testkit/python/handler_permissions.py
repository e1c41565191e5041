"""Prints the actions that CloudFormation needs for resource types and that a policy does not allow, one on a line.

    python handler_permissions.py POLICY TYPE…

POLICY is a file with a policy document, or with an array of those. The actions of a type are those of its schema's
handlers (create, read, update, delete), which cfn-lint brings along. An action that IAM knows no type of resource for
counts only in a statement for all resources (`*`). Otherwise the resources and conditions do not count.

Without a TYPE, the actions are those that the policy itself names in full. One of these lines then means that the
policy allows an action in a way that has no effect.
"""

import fnmatch
import json
import sys
from pathlib import Path

import cfnlint

DATA = Path(cfnlint.__file__).parent / "data"
SCHEMAS = DATA / "schemas"


def permissions(resource_type: str, types: dict) -> set[str]:
    """The actions of a type's handlers."""
    schema = json.loads((SCHEMAS / "resources" / f"{types[resource_type]}.json").read_text())
    handlers = schema.get("handlers", {})
    names = ("create", "read", "update", "delete")
    return {action.lower() for name in names for action in handlers.get(name, {}).get("permissions", [])}


def without_resource() -> set[str]:
    """The actions of IAM that no resource can be named for (Service Authorization Reference)."""
    services = json.loads((DATA / "AdditionalSpecs" / "Policies.json").read_text())
    return {
        f"{service}:{action}"
        for service, known in services.items()
        for action, described in known.get("Actions", {}).items()
        if not described.get("Resources")
    }


def main() -> None:
    policies = json.loads(Path(sys.argv[1]).read_text())
    policies = policies if isinstance(policies, list) else [policies]
    types = json.loads((SCHEMAS / "providers" / "us-east-1.json").read_text())
    statements = [statement for policy in policies for statement in policy["Statement"]]
    allowed = {action.lower() for statement in statements for action in statement["Action"]}
    everywhere = {
        action.lower()
        for statement in statements
        for action in statement["Action"]
        if "*" in statement["Resource"]
    }
    has_no_resource = without_resource()
    needed = [(kind, action) for kind in sys.argv[2:] for action in sorted(permissions(kind, types))]
    if not sys.argv[2:]:
        needed = [("policy", action) for action in sorted(allowed) if "*" not in action]
    for resource_type, action in needed:
        patterns = everywhere if action in has_no_resource else allowed
        if not any(fnmatch.fnmatchcase(action, pattern) for pattern in patterns):
            print(f"{resource_type} {action}")


if __name__ == "__main__":
    main()

"""Prints the actions that CloudFormation needs for resource types and that a policy does not allow, one on a line.

    python handler_permissions.py POLICY TYPE…

POLICY is a file with a policy document. The actions of a type are those of its schema's handlers (create, read,
update, delete), which cfn-lint brings along. Only the actions of the policy count, not its resources and conditions.
"""

import fnmatch
import json
import sys
from pathlib import Path

import cfnlint

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"


def permissions(resource_type: str, types: dict) -> set[str]:
    """The actions of a type's handlers."""
    schema = json.loads((SCHEMAS / "resources" / f"{types[resource_type]}.json").read_text())
    handlers = schema.get("handlers", {})
    names = ("create", "read", "update", "delete")
    return {action.lower() for name in names for action in handlers.get(name, {}).get("permissions", [])}


def main() -> None:
    policy = json.loads(Path(sys.argv[1]).read_text())
    types = json.loads((SCHEMAS / "providers" / "us-east-1.json").read_text())
    allowed = [action.lower() for statement in policy["Statement"] for action in statement["Action"]]
    for resource_type in sys.argv[2:]:
        for action in sorted(permissions(resource_type, types)):
            if not any(fnmatch.fnmatchcase(action, pattern) for pattern in allowed):
                print(f"{resource_type} {action}")


if __name__ == "__main__":
    main()

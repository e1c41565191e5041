#!/usr/bin/env python3
"""Lists the keys that ParallelCluster's configuration has, from its wheel.

    pip download --no-deps aws-parallelcluster==3.15.0 aws-parallelcluster==2.11.9
    python3 list_keys.py aws_parallelcluster-3.15.0-py3-none-any.whl > v3.txt
    python3 list_keys.py aws_parallelcluster-2.11.9-py3-none-any.whl > v2.txt

The sources are parsed and not run, so that nothing has to be installed. In a path, `[]` stands
behind a list of sections, and `*` for keys of the user's choice.
"""

import ast
import sys
import zipfile

SCHEMAS = ("pcluster/schemas/common_schema.py", "pcluster/schemas/cluster_schema.py")
# ImdsSchema of common_schema.py has another name where cluster_schema.py imports it.
ALIASES = {"TopLevelImdsSchema": ("common", "ImdsSchema")}


def pascal_case(name):
    """As `to_pascal_case` in pcluster/utils.py."""
    return "".join(word.title() for word in name.split("_"))


class Schemas:
    def __init__(self, wheel):
        self.classes = {}
        for path in SCHEMAS:
            module = "common" if "common" in path else "cluster"
            for node in ast.parse(wheel.read(path)).body:
                if isinstance(node, ast.ClassDef):
                    self.classes[(module, node.name)] = node

    def find(self, name):
        if name in ALIASES:
            return self.classes[ALIASES[name]]
        return self.classes.get(("cluster", name)) or self.classes.get(("common", name))

    def fields(self, name):
        """The fields of a schema and of those that it extends."""
        node = self.find(name)
        found = {}
        if node is None:
            return found
        for base in node.bases:
            found.update(self.fields(getattr(base, "id", "")))
        for line in node.body:
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call):
                found[line.targets[0].id] = line.value
        return found

    def keys(self, name, path):
        fields = self.fields(name)
        if not fields:
            yield path.rstrip(".")
        for field, call in fields.items():
            kind = ast.unparse(call.func)
            if not (kind.startswith("fields.") or kind == "OneOrManyCustomActionField"):
                continue
            named = {word.arg: word.value for word in call.keywords}
            key = path + (named["data_key"].value if "data_key" in named else pascal_case(field))
            if kind == "fields.Nested":
                many = "many" in named and named["many"].value
                yield from self.keys(call.args[0].id, key + ("[]." if many else "."))
            elif kind == "OneOrManyCustomActionField":
                for action in (".", ".Sequence[]."):
                    yield from (key + action + name for name in ("Script", "Args"))
            elif kind == "fields.Dict":
                yield key + ".*"
            elif kind == "fields.List" and "Dict" in ast.unparse(call.args[0]):
                yield key + "[].*"
            else:
                yield key


def version_3(wheel):
    yield from Schemas(wheel).keys("ClusterSchema", "")


def version_2(wheel):
    """`mappings.py` has a dictionary for each kind of section, with its `params`."""
    module = ast.parse(wheel.read("pcluster/config/mappings.py"))
    lists = {line.targets[0].id: line.value for line in module.body if isinstance(line, ast.Assign)}

    def params(value):
        if isinstance(value, ast.Name):
            yield from params(lists[value.id])
        elif isinstance(value, ast.BinOp):
            yield from params(value.left)
            yield from params(value.right)
        elif isinstance(value, ast.Call):
            yield from params(value.args[0])
        elif isinstance(value, ast.List):
            for pair in value.elts:
                yield pair.elts[0].value, pair.elts[1]
        elif isinstance(value, ast.Dict):
            yield from zip((key.value for key in value.keys), value.values)

    for value in lists.values():
        if not isinstance(value, ast.Dict):
            continue
        section = {key.value: of for key, of in zip(value.keys, value.values)}
        if "key" in section and "params" in section:
            for name, of in params(section["params"]):
                if "PRIVATE" not in ast.unparse(of):
                    yield section["key"].value + "." + name


def main():
    path = sys.argv[1]
    version = path.rsplit("/", 1)[-1].split("-")[1]
    wheel = zipfile.ZipFile(path)
    keys = version_2(wheel) if version.startswith("2.") else version_3(wheel)
    print(f"# The keys of aws-parallelcluster {version}, made by list_keys.py.")
    print("\n".join(dict.fromkeys(keys)))


main()

"""The local cluster's Batch beside the service model of botocore: `local_batch_model.py STORY`.

A newer botocore shows here what is new: an operation that nobody has decided about, and a field that is not in
`batch_fields.txt`. `local_batch_model.py --write` writes that file again, for whoever has decided.
"""

import sys
import uuid
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

FIELDS = Path(__file__).with_name("batch_fields.txt")
batch = boto3.client("batch", config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))
model = batch.meta.service_model


def call(operation, /, **parameters):
    """Calls an operation with these parameters. Returns the answer, or the error, which is not the server's."""
    try:
        answer = getattr(batch, boto3_name(operation))(**parameters)
    except ClientError as e:
        status = e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert 400 <= status < 500, (operation, parameters, e.response)
        return None, e.response["Error"]
    answer.pop("ResponseMetadata")
    return answer, None


def boto3_name(operation):
    return next(name for name, of_model in batch.meta.method_to_api_mapping.items() if of_model == operation)


def required(shape):
    """The parameters that an operation cannot do without, with values that need not make sense."""
    values = {"string": "x", "integer": 1, "long": 1, "boolean": False, "list": [], "map": {}, "structure": {}}
    values |= {"double": 1.0, "float": 1.0}
    return {name: values[shape.members[name].type_name] for name in (shape.required_members if shape else [])}


def operations():
    """Each operation is done, or refused by its name with the reason."""
    for name in model.operation_names:
        parameters = required(model.operation_model(name).input_shape)
        if "resourceArn" in parameters:
            parameters["resourceArn"] = "arn:aws:batch:us-east-1:000000000000:job-queue/local"
        _, error = call(name, **parameters)
        if error and error["Code"] == "UnknownOperationException":
            assert f"does not have {name}: " in error["Message"], (name, error)
        else:
            # An error that the operation has in the model.
            shapes = {shape.name for shape in model.operation_model(name).error_shapes}
            assert error is None or error["Code"] in shapes, (name, error)


def fields_of(shape, path, above=()):
    """The paths of all fields of a shape."""
    if shape is None or shape.name in above:
        return
    above = (*above, shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield f"{path}.{name}"
            yield from fields_of(member, f"{path}.{name}", above)
    elif shape.type_name == "list":
        yield from fields_of(shape.member, path + "[]", above)
    elif shape.type_name == "map":
        yield from fields_of(shape.value, path + "{}", above)


def all_fields():
    for name in sorted(model.operation_names):
        yield name
        yield from sorted(set(fields_of(model.operation_model(name).input_shape, name)))


def fields():
    """The model has the fields that were there when somebody last looked."""
    known, now = set(FIELDS.read_text().split()), set(all_fields())
    new, gone = sorted(now - known), sorted(known - now)
    assert not new and not gone, (
        f"botocore's model of Batch has changed: new {new}, gone {gone}. Decide what the local cluster does with "
        f"them, say so in docs/local.md, and write {FIELDS.name} again: python {Path(__file__).name} --write"
    )


# Values of fields for which not any will do, by the name of the field.
REQUIREMENTS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
VALUES = {
    "resourceRequirements": REQUIREMENTS,
    "environment": [{"name": "A", "value": "b"}],
    "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
    "permissions": ["READ"],
    "mountPoints": [{"containerPath": "/v", "readOnly": True, "sourceVolume": "x"}],
    "sourcePath": "/x",
    "containerPath": "/x",
    "mountOptions": ["noexec"],
    "swappiness": 60,
    "maxSwap": 64,
    "attempts": 2,
    "evaluateOnExit": [{"action": "RETRY", "onExitCode": "1", "onReason": "x*", "onStatusReason": "x*"}],
    "attemptDurationSeconds": 60,
    "schedulingPriority": 7,
    "parameters": {"a": "1"},
    "tags": {"a": "1"},
    "platformCapabilities": ["EC2"],
    "vcpus": 1,
    "memory": 64,
    "sizeInGiB": 30,
    "startTimeout": 5,
    "stopTimeout": 5,
    "essential": True,
    "operatingSystemFamily": "LINUX",
    "cpuArchitecture": "ARM64",
    "ipcMode": "task",
    "pidMode": "task",
    "dependsOn": [{"containerName": "other", "condition": "START"}],
    "targetNodes": "0:",
    "numNodes": 2,
    "mainNode": 0,
    "options": {"awslogs-group": "/x", "awslogs-stream-prefix": "x"},
    "logDriver": "awslogs",
    "arn": "arn:aws:batch:us-east-1:000000000000:scheduling-policy/x",
    "maxvCpus": 4,
    "minvCpus": 0,
    "desiredvCpus": 0,
    "shareDecaySeconds": 600,
    "computeReservation": 10,
    "shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0.5}],
}
# Fields that this cluster refuses in a request of this kind, or that exclude others.
LEFT_OUT = {
    "jobDefinitionName", "type", "containerProperties", "nodeProperties", "eksProperties", "ecsProperties",
    "networkMode", "networkConfiguration", "fargatePlatformConfiguration", "consumableResourceProperties", "instanceTypes",
}


def filled(shape, more=None, above=()):
    """A value of a shape in which every field has a value."""
    if shape.name in above:
        return None
    above = (*above, shape.name)
    match shape.type_name:
        case "structure":
            fields = {}
            for name, member in shape.members.items():
                if name in LEFT_OUT:
                    continue
                value = VALUES[name] if name in VALUES else filled(member, None, above)
                if value is not None:
                    fields[name] = value
            return fields | (more or {})
        case "list":
            value = filled(shape.member, None, above)
            return [] if value is None else [value]
        case "map":
            return {"x": "y"}
        case "string":
            return (getattr(shape, "enum", None) or ["x"])[0]
        case "integer" | "long":
            return 1
        case "boolean":
            return True
        case other:
            raise AssertionError(f"a field of the type {other}: {shape.name}")


def missing(given, shown, path=""):
    """The paths of what was given and is not shown."""
    if isinstance(given, dict):
        if not isinstance(shown, dict):
            return [path]
        return [gone for name, value in given.items() for gone in missing(value, shown.get(name), f"{path}.{name}")]
    if isinstance(given, list):
        if not isinstance(shown, list) or len(shown) != len(given):
            return [path]
        return [gone for at, value in enumerate(given) for gone in missing(value, shown[at], f"{path}[{at}]")]
    return [] if given == shown else [path]


def definitions():
    """What RegisterJobDefinition is given is what DescribeJobDefinitions shows, field by field."""
    shape = model.operation_model("RegisterJobDefinition").input_shape
    container = filled(shape.members["containerProperties"])
    task_shape = shape.members["ecsProperties"].members["taskProperties"].member
    first = filled(task_shape.members["containers"].member, {"name": "main"})
    first.pop("firelensConfiguration", None)
    other = {"name": "other", "image": "x", "resourceRequirements": REQUIREMENTS}
    task = filled(task_shape, {"containers": [first, other]})
    nodes = filled(shape.members["nodeProperties"])
    nodes["nodeRangeProperties"] = [{"targetNodes": "0:", "container": container}]
    for kind, properties in (
        ("container", {"containerProperties": container}),
        ("container", {"ecsProperties": {"taskProperties": [task]}}),
        ("multinode", {"nodeProperties": nodes}),
    ):
        name = f"model-{uuid.uuid4().hex[:8]}"
        request = filled(shape, {"jobDefinitionName": name, "type": kind, **properties})
        answer, error = call("RegisterJobDefinition", **request)
        assert answer, (properties.keys(), error)
        described = batch.describe_job_definitions(jobDefinitions=[answer["jobDefinitionArn"]])["jobDefinitions"][0]
        assert not (gone := missing(request, described)), (properties.keys(), gone)


def paths(shape, kinds, above=()):
    """The paths of the numbers of these kinds in a shape: names of members, and None for the element of a list."""
    if shape is None or shape.name in above:
        return
    above = (*above, shape.name)
    if shape.type_name in kinds:
        yield ()
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from ((name, *rest) for rest in paths(member, kinds, above))
    elif shape.type_name == "list":
        yield from ((None, *rest) for rest in paths(shape.member, kinds, above))


def nested(path, value):
    """The value at the end of a path."""
    for name in reversed(path):
        value = [value] if name is None else {name: value}
    return value


def integers():
    """An Integer of the model has 32 bits, and a greater one is refused by its name; a Long has 64."""
    tried = {"integer": 0, "long": 0}
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        parameters = required(shape)
        _, error = call(operation, **parameters)
        if error and error["Code"] == "UnknownOperationException":
            continue
        for kind, has_64_bits in (("integer", False), ("long", True)):
            for path in paths(shape, {kind}):
                _, error = call(operation, **parameters | nested(path, 2**31))
                name = next(name for name in reversed(path) if name)
                refused = error is not None and f"{name} must be an integer from" in error["Message"]
                assert refused != has_64_bits, (operation, path, error)
                tried[kind] += 1
    assert all(tried.values()), tried


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        FIELDS.write_text("".join(f"{field}\n" for field in all_fields()))
    else:
        stories = (operations, fields, definitions, integers)
        {story.__name__: story for story in stories}[sys.argv[1]]()

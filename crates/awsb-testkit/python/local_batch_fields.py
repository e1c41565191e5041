"""The local cluster's Batch, field by field: `local_batch_fields.py STORY`.

Each field that botocore's model has in a request of an operation that is done is sent by itself. The
cluster accepts it and shows it again, or refuses it by its name, or has it in a list here with the reason. The
fields of answers that never appear are in a list, too. So a newer botocore shows what is new.
"""

import sys
import uuid
from itertools import zip_longest

from local_batch_model import REQUIREMENTS, call, fields_of, filled, missing, model
from waiting import once

seen = set()


def fresh(prefix="f"):
    return f"{prefix}{uuid.uuid4().hex[:10]}"


def arn(kind, name):
    return f"arn:aws:batch:us-east-1:000000000000:{kind}/{name}"


def done(operation, /, **parameters):
    """Calls an operation that is accepted."""
    answer, error = call(operation, **parameters)
    assert error is None, (operation, parameters, error)
    seen.update(paths_in(answer, operation))
    return answer


def paths_in(value, path):
    """The paths of the fields that a value has, as `fields_of` writes them."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}"
            yield from paths_in(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from paths_in(member, path + "[]")


def leaves(shape, path):
    """The paths of the fields of a shape that have no fields themselves."""
    all_paths = set(fields_of(shape, path))
    return sorted(p for p in all_paths if not any(other.startswith((p + ".", p + "[", p + "{")) for other in all_paths))


# Values for which not any will do: by the end of the path of a field, the longest end first.
VALUES = {
    "resourceRequirements": REQUIREMENTS,
    "environment": [{"name": "A", "value": "b"}],
    "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
    "devices[].permissions": ["READ"],
    "tmpfs": [{"containerPath": "/x", "size": 4, "mountOptions": ["noexec"]}],
    "sourcePath": "/x",
    "swappiness": 60,
    "retryStrategy": {
        "attempts": 2,
        "evaluateOnExit": [{"action": "EXIT", "onExitCode": "1", "onReason": "x*", "onStatusReason": "x*"}],
    },
    "attemptDurationSeconds": 60,
    "memory": 64,
    "sizeInGiB": 30,
    "startTimeout": 5,
    "stopTimeout": 5,
    "operatingSystemFamily": "LINUX",
    "cpuArchitecture": "ARM64",
    "ipcMode": "task",
    "pidMode": "task",
    "networkMode": "host",
    "minvCpus": 0,
    "shareDecaySeconds": 600,
    "computeReservation": 10,
    "weightFactor": 0.5,
    "tags": {"a": "1"},
    "parameters": {"a": "1"},
    "state": "DISABLED",
    "jobStateTimeLimitActions[].state": "RUNNABLE",
    "platformCapabilities": ["EC2"],
}
NEEDS = {"image": "host", "command": ["true"], "resourceRequirements": REQUIREMENTS}


def given(path):
    """The value of `VALUES` for a path, if there is one."""
    ends = [end for end in VALUES if path == end or path.endswith("." + end)]
    return VALUES[max(ends, key=len)] if ends else None


def value(shape, path):
    """A small value of a shape: of a structure the fields that it has to have."""
    if (own := given(path)) is not None:
        return own
    match shape.type_name:
        case "structure":
            return {name: value(shape.members[name], f"{path}.{name}") for name in shape.required_members}
        case "list":
            return [value(shape.member, path + "[]")]
        case "map":
            return {"x": "y"}
        case "string":
            return (getattr(shape, "enum", None) or ["x"])[0]
        case "integer" | "long":
            return 7
        case "double" | "float":
            return 0.5
        case "boolean":
            return True
        case other:
            raise AssertionError(f"a field of the type {other}: {path}")


def with_field(shape, path, leaf):
    """A value of a shape in which the field `leaf` has a value."""
    if path == leaf or given(path) is not None:
        return value(shape, path)
    match shape.type_name:
        case "structure":
            whole = value(shape, path)
            for name, member in shape.members.items():
                below = f"{path}.{name}"
                if leaf == below or leaf.startswith((below + ".", below + "[", below + "{")):
                    whole[name] = with_field(member, below, leaf)
            return whole
        case "list":
            return [with_field(shape.member, path + "[]", leaf)]
        case _:
            return value(shape, path)


def merged(base, more):
    """Two requests as one. Where both have a list of structures, the elements are put together one by one."""
    if isinstance(base, dict) and isinstance(more, dict):
        return base | {name: merged(base[name], part) if name in base else part for name, part in more.items()}
    if isinstance(base, list) and isinstance(more, list) and base and isinstance(base[0], dict):
        pairs = zip_longest(base, more, fillvalue={})
        return [merged(one, other) for one, other in pairs]
    return more


# Fields that are refused: the start of their paths, and words of the refusal.
REFUSED = {
    "SubmitJob.eksPropertiesOverride": "eksPropertiesOverride",
    "SubmitJob.nodeOverrides.nodePropertyOverrides[].ecsPropertiesOverride": "ecsPropertiesOverride",
    "SubmitJob.nodeOverrides.nodePropertyOverrides[].eksPropertiesOverride": "eksPropertiesOverride",
    "SubmitJob.nodeOverrides.nodePropertyOverrides[].consumableResourcePropertiesOverride": "consumable resources of node ranges",
    "RegisterJobDefinition.eksProperties": "eksProperties",
    "RegisterJobDefinition.nodeProperties.nodeRangeProperties[].eksProperties": "eksProperties",
    "RegisterJobDefinition.nodeProperties.nodeRangeProperties[].ecsProperties": "ecsProperties",
    "RegisterJobDefinition.nodeProperties.nodeRangeProperties[].consumableResourceProperties": "consumable resources of node ranges",
    "RegisterJobDefinition.nodeProperties.nodeRangeProperties[].container.networkConfiguration": "networkConfiguration",
    "RegisterJobDefinition.nodeProperties.nodeRangeProperties[].container.fargatePlatformConfiguration": "fargatePlatformConfiguration",
    "CreateComputeEnvironment.eksConfiguration": "eksConfiguration",
    "UpdateComputeEnvironment.eksConfiguration": "eksConfiguration",
    "CreateJobQueue.serviceEnvironmentOrder": "serviceEnvironmentOrder",
    "UpdateJobQueue.serviceEnvironmentOrder": "serviceEnvironmentOrder",
    "CreateSchedulingPolicy.quotaSharePolicy": "quotaSharePolicy",
    "UpdateSchedulingPolicy.quotaSharePolicy": "quotaSharePolicy",
}
# Fields that are accepted and not shown, with the reason.
IGNORED = {
    "UpdateComputeEnvironment.computeResources.updateToLatestImageVersion":
        "it is about an update, and no answer has it",
}
# The size of a container on Fargate.
SIZE = {"resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]}
VOLUME = {"volumes": [{"name": "v"}]}
MOUNT = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}


def in_task(task):
    return {"ecsProperties": {"taskProperties": [task]}}


def in_nodes(of_range):
    return {"nodeProperties": {"nodeRangeProperties": [of_range]}}


def consumes(name):
    return {"consumableResourceList": [{"consumableResource": name, "quantity": 7}]}


# More that a request with a field needs, by the start of its path. `None` takes a field away.
DEFINITION = "RegisterJobDefinition"
TASK = f"{DEFINITION}.ecsProperties.taskProperties[]"
RANGE = f"{DEFINITION}.nodeProperties.nodeRangeProperties[]"
MORE = {
    "SubmitJob.jobName": {"jobName": "x"},
    "SubmitJob.jobQueue": {"jobQueue": "other"},
    "SubmitJob.jobDefinition": {"jobDefinition": "one"},
    "SubmitJob.shareIdentifier": {"jobQueue": "shares"},
    "SubmitJob.ecsPropertiesOverride": {
        "jobDefinition": "task", "ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "main"}]}]}
    },
    "SubmitJob.nodeOverrides": {"jobDefinition": "nodes"},
    "SubmitJob.nodeOverrides.nodePropertyOverrides": {"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": "0:"}]}},
    "SubmitJob.consumableResourcePropertiesOverride": {"consumableResourcePropertiesOverride": consumes("plenty")},
    f"{DEFINITION}.type": {"type": "container"},
    f"{DEFINITION}.consumableResourceProperties": {"consumableResourceProperties": consumes("plenty")},
    f"{DEFINITION}.containerProperties": {"containerProperties": NEEDS},
    f"{DEFINITION}.containerProperties.networkConfiguration": {
        "platformCapabilities": ["FARGATE"], "containerProperties": SIZE
    },
    f"{DEFINITION}.containerProperties.fargatePlatformConfiguration": {
        "platformCapabilities": ["FARGATE"], "containerProperties": SIZE
    },
    f"{DEFINITION}.containerProperties.mountPoints": {"containerProperties": VOLUME | MOUNT},
    f"{DEFINITION}.ecsProperties": {
        "containerProperties": None,
        **in_task({"containers": [{"name": "main", **NEEDS}, {"name": "other", "essential": False, **NEEDS}]}),
    },
    f"{TASK}.volumes": in_task(VOLUME),
    f"{TASK}.networkMode": {"platformCapabilities": ["MANAGED_INSTANCES"]},
    f"{TASK}.networkConfiguration": {"platformCapabilities": ["FARGATE"], **in_task({"containers": [SIZE, SIZE]})},
    f"{TASK}.containers[].dependsOn": in_task(
        {"containers": [{"dependsOn": [{"containerName": "other", "condition": "SUCCESS"}]}]}
    ),
    f"{TASK}.containers[].mountPoints": in_task({**VOLUME, "containers": [MOUNT]}),
    f"{DEFINITION}.eksProperties": {"containerProperties": None},
    f"{DEFINITION}.nodeProperties": {
        "type": "multinode",
        "containerProperties": None,
        "nodeProperties": {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:", "container": NEEDS}]},
    },
    f"{RANGE}.ecsProperties": in_nodes({"container": None}),
    f"{RANGE}.eksProperties": in_nodes({"container": None}),
    f"{RANGE}.container.mountPoints": in_nodes({"container": VOLUME | MOUNT}),
    "CreateComputeEnvironment.computeResources.managedInstancesProvider": {
        "computeResources": {"type": "ECS_MANAGED_INSTANCES"}
    },
    "UpdateComputeEnvironment.computeEnvironment": {"computeEnvironment": "changing"},
    "UpdateComputeEnvironment.computeResources.managedInstancesProvider": {"computeEnvironment": "managed"},
    "CreateJobQueue.computeEnvironmentOrder": {"computeEnvironmentOrder": [{"computeEnvironment": "spare", "order": 7}]},
    "CreateJobQueue.jobQueueType": {"jobQueueType": "ECS"},
    "CreateJobQueue.schedulingPolicyArn": {"schedulingPolicyArn": arn("scheduling-policy", "first")},
    "UpdateJobQueue.jobQueue": {"jobQueue": "changing"},
    "UpdateJobQueue.computeEnvironmentOrder": {"computeEnvironmentOrder": [{"computeEnvironment": "spare", "order": 7}]},
    "UpdateJobQueue.schedulingPolicyArn": {
        "jobQueue": "shares", "schedulingPolicyArn": arn("scheduling-policy", "second")
    },
    "CreateConsumableResource.resourceType": {"resourceType": "NON_REPLENISHABLE"},
    "UpdateSchedulingPolicy.arn": {"arn": arn("scheduling-policy", "changing")},
}


def request_of(operation, leaf, base, more):
    """A request with the field `leaf`."""
    own = with_field(model.operation_model(operation).input_shape, operation, leaf)
    top = leaf[len(operation) + 1 :].split(".")[0].split("[")[0].split("{")[0]
    request = merged(base, {top: own[top]})
    for start in sorted(below(leaf, more), key=len):
        request = merged(request, more[start])
    return without_none(request)


def without_none(value):
    match value:
        case dict():
            return {name: without_none(part) for name, part in value.items() if part is not None}
        case list():
            return [without_none(part) for part in value]
        case _:
            return value


def jobs(*ids):
    return done("DescribeJobs", jobs=list(ids))["jobs"]


def shown_job(request):
    """The fields of DescribeJobs that show a request."""
    shown = {}
    for name, part in request.items():
        match name:
            case "jobQueue":
                shown[name] = arn("job-queue", part)
            case "jobDefinition":
                shown[name] = arn("job-definition", f"{part}:1")
            case "containerOverrides":
                shown["container"] = part
            case "ecsPropertiesOverride":
                shown["ecsProperties"] = part
            case "nodeOverrides":
                ranges = [
                    {name: of[name] for name in of if name != "containerOverrides"}
                    | {"targetNodes": "0:1", "container": of.get("containerOverrides", {})}
                    for of in part.get("nodePropertyOverrides", [])
                ]
                count = {"numNodes": part["numNodes"]} if "numNodes" in part else {}
                shown["nodeProperties"] = count | ({"nodeRangeProperties": ranges} if ranges else {})
            case "consumableResourcePropertiesOverride":
                by_arn = [of | {"consumableResource": arn("consumable-resource", of["consumableResource"])}
                          for of in part["consumableResourceList"]]
                shown["consumableResourceProperties"] = {"consumableResourceList": by_arn}
            case "schedulingPriorityOverride":
                shown["schedulingPriority"] = part
            case _:
                shown[name] = part
    return shown


def shown_queue(request):
    """The fields of DescribeJobQueues that show a request."""
    shown = {name: part for name, part in request.items() if name != "jobQueue"}
    if order := shown.get("computeEnvironmentOrder"):
        by_arn = lambda of: of | {"computeEnvironment": arn("compute-environment", of["computeEnvironment"])}
        shown["computeEnvironmentOrder"] = [by_arn(of) for of in order]
    return shown


def without(*names):
    return lambda request: {name: part for name, part in request.items() if name not in names}


def described(operation, field, names):
    """Looks at the only thing that Describe… has of this name."""
    return lambda answer, request: done(operation, **{names: [answer_name(answer, request)]})[field][0]


def answer_name(answer, request):
    names = ("jobQueueName", "computeEnvironmentName", "jobDefinitionArn", "arn", "jobId")
    return next((answer[name] for name in names if name in answer), request.get("arn"))


QUEUES = described("DescribeJobQueues", "jobQueues", "jobQueues")
ENVIRONMENTS = described("DescribeComputeEnvironments", "computeEnvironments", "computeEnvironments")
POLICIES = described("DescribeSchedulingPolicies", "schedulingPolicies", "arns")
EC2 = {"type": "EC2", "maxvCpus": 4, "subnets": ["subnet-0"], "instanceTypes": ["optimal"], "instanceRole": "role"}
LOCAL = [{"order": 1, "computeEnvironment": "local"}]
# Operations that write what another one shows: a request that is accepted, a look, and how that
# shows the request.
WRITES = {
    "SubmitJob": (
        lambda: {"jobName": "base", "jobQueue": "local", "jobDefinition": "one"},
        described("DescribeJobs", "jobs", "jobs"),
        shown_job,
    ),
    DEFINITION: (
        lambda: {"jobDefinitionName": fresh(), "type": "container", "containerProperties": NEEDS},
        described("DescribeJobDefinitions", "jobDefinitions", "jobDefinitions"),
        dict,
    ),
    "CreateComputeEnvironment": (
        lambda: {"computeEnvironmentName": fresh(), "type": "MANAGED", "computeResources": EC2},
        ENVIRONMENTS,
        dict,
    ),
    "UpdateComputeEnvironment": (
        lambda: {"computeEnvironment": "changing"}, ENVIRONMENTS, without("computeEnvironment")
    ),
    "CreateJobQueue": (
        lambda: {"jobQueueName": fresh(), "priority": 1, "computeEnvironmentOrder": LOCAL}, QUEUES, shown_queue
    ),
    "UpdateJobQueue": (lambda: {"jobQueue": "changing"}, QUEUES, shown_queue),
    "CreateSchedulingPolicy": (lambda: {"name": fresh()}, POLICIES, dict),
    "UpdateSchedulingPolicy": (lambda: {"arn": arn("scheduling-policy", "changing")}, POLICIES, dict),
    "CreateConsumableResource": (
        lambda: {"consumableResourceName": fresh()},
        lambda answer, request: done("DescribeConsumableResource", consumableResource=answer["consumableResourceName"]),
        dict,
    ),
}


def make_world():
    """The things that the requests name. Returns the ID of an array of two jobs."""
    for name in ("changing", "spare"):
        done("CreateComputeEnvironment", computeEnvironmentName=name, type="MANAGED", computeResources=EC2)
    managed = EC2 | {"type": "ECS_MANAGED_INSTANCES"}
    done("CreateComputeEnvironment", computeEnvironmentName="managed", type="MANAGED", computeResources=managed)
    for name in ("first", "second", "changing"):
        done("CreateSchedulingPolicy", name=name, fairsharePolicy={"shareDecaySeconds": 60})
    policy = arn("scheduling-policy", "first")
    done("CreateJobQueue", jobQueueName="shares", priority=1, computeEnvironmentOrder=LOCAL, schedulingPolicyArn=policy)
    for name in ("changing", "other"):
        done("CreateJobQueue", jobQueueName=name, priority=1, computeEnvironmentOrder=LOCAL)
    done("CreateConsumableResource", consumableResourceName="plenty", totalQuantity=1000)
    done(DEFINITION, jobDefinitionName="one", type="container", containerProperties=NEEDS)
    done(DEFINITION, jobDefinitionName="task", type="container", **in_task({"containers": [{"name": "main", **NEEDS}]}))
    nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:", "container": NEEDS}]}
    done(DEFINITION, jobDefinitionName="nodes", type="multinode", nodeProperties=nodes)
    array = {"jobName": "array", "jobQueue": "local", "jobDefinition": "one", "arrayProperties": {"size": 2}}
    return done("SubmitJob", **array)["jobId"]


def below(leaf, starts):
    """Those of the starts that the path of a field has."""
    return [start for start in starts if leaf == start or leaf.startswith((start + ".", start + "[", start + "{"))]


def problem_of(operation, leaf, more):
    """Sends a request with a field. Returns what is wrong with what the cluster makes of it."""
    base, look, shown = WRITES[operation]
    request = request_of(operation, leaf, base(), more)
    answer, error = call(operation, **request)
    if refused := below(leaf, REFUSED):
        words = REFUSED[refused[0]]
        return None if error and words in error["Message"] else f"not refused by {words!r}: {error}, {request}"
    if error:
        return f"{error}, {request}"
    seen.update(paths_in(answer, operation))
    gone = missing(shown(request), look(answer, request))
    if below(leaf, IGNORED):
        return None if gone else "shown, though IGNORED has it"
    return f"not shown: {gone}, {request}" if gone else None


def send_each_field(array):
    """Sends each field of the operations that write."""
    depends = {"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": array, "type": "N_TO_N"}]}
    more = MORE | {"SubmitJob.dependsOn": depends}
    all_fields = {
        leaf: operation for operation in WRITES for leaf in leaves(model.operation_model(operation).input_shape, operation)
    }
    assert len(all_fields) > 400
    problems = {leaf: problem_of(operation, leaf, more) for leaf, operation in all_fields.items()}
    problems = [f"{leaf}: {problem}" for leaf, problem in problems.items() if problem]
    assert not problems, "\n".join(problems)
    unused = [start for start in (*REFUSED, *IGNORED, *MORE) if not any(below(leaf, [start]) for leaf in all_fields)]
    assert not unused, f"not in the model any more: {unused}"


def ended(id):
    return once(f"{id} ends", lambda: (job := jobs(id)[0])["status"] in ("SUCCEEDED", "FAILED") and job)


def submit(script="true", definition="one", queue="local", **more):
    if definition == "one":
        more["containerOverrides"] = {"command": ["sh", "-c", script]}
    return done("SubmitJob", jobName=fresh(), jobQueue=queue, jobDefinition=definition, **more)["jobId"]


def names_of(operation, field, name, **request):
    """The names in all pages of an answer, and how many pages there are."""
    pages = [done(operation, **request)]
    while token := pages[-1].get("nextToken"):
        pages.append(done(operation, **request, nextToken=token))
    return [of[name] for page in pages for of in page[field]], len(pages)


def has_pages(operation, field, name, **request):
    """The operation has pages of the size that is asked for, and the same in them as without pages."""
    everything, _ = names_of(operation, field, name, **request)
    paged, pages = names_of(operation, field, name, maxResults=1, **request)
    assert len(everything) > 1 and (paged, pages) == (everything, len(everything)), (operation, everything, paged)


def is_refused(operation, /, *words, **request):
    _, error = call(operation, **request)
    assert error, (operation, request, "accepted")
    assert all(word in error["Message"] for word in words), (operation, error)


def ends_of_jobs():
    waiting = lambda: submit(dependsOn=[{"jobId": sleeper}])
    sleeper = submit("sleep 600")
    once("it runs", lambda: jobs(sleeper)[0]["status"] == "RUNNING")
    one, two, three = waiting(), waiting(), waiting()
    done("TerminateJob", jobId=one, reason="of one")
    assert ended(one)["statusReason"] == "of one"
    assert done("TerminateJobs", jobs=[two], reason="of two")["successful"] == [two]
    assert ended(two)["statusReason"] == "of two"
    errors = done("TerminateJobs", jobs=["not an ID"], reason="x")["errors"]
    assert [(e["job"], e["code"]) for e in errors] == [("not an ID", "ValidationException")]
    four = waiting()
    done("CancelJob", jobId=three, reason="of three")
    assert done("CancelJobs", jobs=[four], reason="of four")["successful"] == [four]
    assert done("CancelJobs", jobs=["not an ID"], reason="x")["errors"][0]["job"] == "not an ID"
    assert jobs(three)[0]["isCancelled"]
    done("TerminateJob", jobId=sleeper, reason="enough")
    assert ended(three)["statusReason"] == "of three" and ended(four)["statusReason"] == "of four"


def ends_of_definitions():
    made = done(DEFINITION, jobDefinitionName="two", type="container", containerProperties=NEEDS)["jobDefinitionArn"]
    done(DEFINITION, jobDefinitionName="two", type="container", containerProperties=NEEDS)
    done("DeregisterJobDefinition", jobDefinition=made)
    revisions = lambda **request: [
        of["revision"] for of in done("DescribeJobDefinitions", **request)["jobDefinitions"]
    ]
    assert revisions(jobDefinitionName="two") == [1, 2]
    assert revisions(jobDefinitionName="two", status="ACTIVE") == revisions(jobDefinitions=["two:2"]) == [2]
    has_pages("DescribeJobDefinitions", "jobDefinitions", "revision", jobDefinitionName="two")


def resources():
    has_pages("DescribeJobQueues", "jobQueues", "jobQueueName")
    assert names_of("DescribeJobQueues", "jobQueues", "jobQueueName", jobQueues=["other"])[0] == ["other"]
    has_pages("DescribeComputeEnvironments", "computeEnvironments", "computeEnvironmentName")
    names = names_of(
        "DescribeComputeEnvironments", "computeEnvironments", "computeEnvironmentName", computeEnvironments=["spare"]
    )
    assert names[0] == ["spare"]
    has_pages("ListSchedulingPolicies", "schedulingPolicies", "arn")
    policy = arn("scheduling-policy", "second")
    assert names_of("DescribeSchedulingPolicies", "schedulingPolicies", "arn", arns=[policy])[0] == [policy]
    done("CreateSchedulingPolicy", name="gone")
    done("DeleteSchedulingPolicy", arn=arn("scheduling-policy", "gone"))
    assert done("DescribeSchedulingPolicies", arns=[arn("scheduling-policy", "gone")])["schedulingPolicies"] == []
    done("CreateComputeEnvironment", computeEnvironmentName="gone", type="MANAGED", state="DISABLED", computeResources=EC2)
    done("CreateJobQueue", jobQueueName="gone", priority=1, state="DISABLED", computeEnvironmentOrder=LOCAL)
    done("DeleteJobQueue", jobQueue="gone")
    done("DeleteComputeEnvironment", computeEnvironment="gone")
    assert done("DescribeJobQueues", jobQueues=["gone"])["jobQueues"] == []
    assert done("DescribeComputeEnvironments", computeEnvironments=["gone"])["computeEnvironments"] == []


def consumable_resources():
    total = lambda name: done("DescribeConsumableResource", consumableResource=name)["totalQuantity"]
    change = lambda **more: done("UpdateConsumableResource", consumableResource="counted", **more)["totalQuantity"]
    done("CreateConsumableResource", consumableResourceName="counted", totalQuantity=5)
    assert change(operation="ADD", quantity=7, clientToken="once") == 12
    assert change(operation="ADD", quantity=7, clientToken="once") == 12
    assert change(operation="REMOVE", quantity=2) == 10 and change(operation="SET", quantity=3) == total("counted") == 3
    name = "consumableResourceName"
    has_pages("ListConsumableResources", "consumableResources", name)
    of_name = [{"name": "CONSUMABLE_RESOURCE_NAME", "values": ["COUNT*"]}]
    assert names_of("ListConsumableResources", "consumableResources", name, filters=of_name)[0] == ["counted"]
    needs = {"consumableResourceList": [{"consumableResource": "counted", "quantity": 1}]}
    ids = [submit(consumableResourcePropertiesOverride=needs) for _ in range(2)]
    failed = submit("exit 1", queue="shares", shareIdentifier="a", consumableResourcePropertiesOverride=needs)
    for id in (*ids, failed):
        ended(id)
    listed = lambda **request: names_of(
        "ListJobsByConsumableResource", "jobs", "jobArn", consumableResource="counted", **request
    )[0]
    assert set(listed()) == {arn("job", id) for id in (*ids, failed)}
    has_pages("ListJobsByConsumableResource", "jobs", "jobArn", consumableResource="counted")
    assert listed(filters=[{"name": "JOB_STATUS", "values": ["FAILED"]}]) == [arn("job", failed)]
    done("DeleteConsumableResource", consumableResource="counted")
    is_refused("DescribeConsumableResource", "counted", consumableResource="counted")


def listings():
    done("CreateJobQueue", jobQueueName="listed", priority=1, computeEnvironmentOrder=LOCAL)
    array = submit(arrayProperties={"size": 2}, queue="listed")
    nodes = submit(definition="nodes", queue="listed")
    ended(array), ended(nodes)
    jobs(array, nodes, f"{array}:0", f"{nodes}#0")
    listed = lambda **request: names_of("ListJobs", "jobSummaryList", "jobId", **request)[0]
    status = {"jobStatus": "SUCCEEDED"}
    assert listed(jobQueue="listed", **status) == [nodes, array] and listed(jobQueue="listed") == []
    assert set(listed(arrayJobId=array, **status)) == {f"{array}:0", f"{array}:1"}
    assert f"{nodes}#0" in listed(multiNodeJobId=nodes, **status)
    has_pages("ListJobs", "jobSummaryList", "jobId", jobQueue="listed", **status)
    of = jobs(array)[0]
    for name, value, found in (
        ("JOB_NAME", of["jobName"], [array]),
        ("JOB_DEFINITION", "nodes", [nodes]),
        ("BEFORE_CREATED_AT", str(of["createdAt"] + 3_600_000), [nodes, array]),
        ("AFTER_CREATED_AT", str(of["createdAt"] + 3_600_000), []),
    ):
        assert listed(jobQueue="listed", filters=[{"name": name, "values": [value]}]) == found, name
    is_refused("ListJobs", "unknown filter", jobQueue="listed", filters=[{"name": "OTHER", "values": ["x"]}])


def tags():
    queue = arn("job-queue", "other")
    done("TagResource", resourceArn=queue, tags={"a": "1", "b": "2"})
    done("UntagResource", resourceArn=queue, tagKeys=["a"])
    assert done("ListTagsForResource", resourceArn=queue)["tags"] == {"b": "2"}


def snapshots():
    running = submit("sleep 600", queue="shares", shareIdentifier="a")
    once("it runs", lambda: jobs(running)[0]["status"] == "RUNNING")
    # Nothing is large enough for the jobs that wait behind it.
    needs = {"consumableResourceList": [{"consumableResource": "none", "quantity": 1}]}
    done("CreateConsumableResource", consumableResourceName="none", totalQuantity=0)
    waiting = submit(queue="shares", shareIdentifier="a", consumableResourcePropertiesOverride=needs)
    once("it waits", lambda: jobs(waiting)[0]["status"] == "RUNNABLE")
    front = done("GetJobQueueSnapshot", jobQueue="shares")["frontOfQueue"]["jobs"]
    assert [job["jobArn"] for job in front] == [arn("job", waiting)]
    for id in (waiting, running):
        done("TerminateJob", jobId=id, reason="enough")
        ended(id)


def attempts():
    """Jobs with all that DescribeJobs can say of an attempt."""
    retry = {"attempts": 2, "evaluateOnExit": [{"action": "RETRY", "onExitCode": "3", "onReason": "*", "onStatusReason": "*"}]}
    failed = ended(submit("exit 3", retryStrategy=retry))
    assert [attempt["container"]["exitCode"] for attempt in failed["attempts"]] == [3, 3]
    missing_program = {"command": ["no-such-program"]}
    done("SubmitJob", jobName="x", jobQueue="local", jobDefinition="one", containerOverrides=missing_program)
    override = {"taskProperties": [{"containers": [{"name": "main", "command": ["no-such-program"]}]}]}
    task = ended(submit(definition="task", ecsPropertiesOverride=override))
    assert task["attempts"][0]["taskProperties"][0]["containers"][0]["exitCode"] == 127, task
    program = {"nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": missing_program}]}
    nodes = submit(definition="nodes", nodeOverrides=program)
    ended(nodes)
    jobs(f"{nodes}#0")
    for queue in ("local", "shares"):
        done("ListJobs", jobQueue=queue, jobStatus="FAILED")


def jobs_of_full_definitions():
    """DescribeJobs shows the fields of job definitions that jobs can have here. These jobs never start."""
    fargate = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-0"], "securityGroupIds": ["sg-0"]}
    done("CreateComputeEnvironment", computeEnvironmentName="fargate", type="MANAGED", computeResources=fargate)
    order = [{"order": 1, "computeEnvironment": "fargate"}]
    done("CreateJobQueue", jobQueueName="fargate", priority=1, computeEnvironmentOrder=order)
    order = [{"order": 1, "computeEnvironment": "managed"}]
    done("CreateJobQueue", jobQueueName="managed", priority=1, computeEnvironmentOrder=order)
    shape = model.operation_model(DEFINITION).input_shape
    here = {"secrets": [], "volumes": [{"name": "x", "host": {"sourcePath": "/x"}}]}
    container = filled(shape.members["containerProperties"]) | here | {"image": "x"}
    task_shape = shape.members["ecsProperties"].members["taskProperties"].member
    one = filled(task_shape.members["containers"].member, {"name": "main", "image": "x", "secrets": []})
    one.pop("firelensConfiguration")
    other = {"name": "other", "essential": False, **NEEDS, "image": "x"}
    task = filled(task_shape, {"containers": [one | {"dependsOn": [{"containerName": "other", "condition": "START"}]}, other]})
    task |= {"volumes": here["volumes"]}
    serverless = NEEDS | SIZE | {
        "fargatePlatformConfiguration": {"platformVersion": "1.4.0"}, "networkConfiguration": {"assignPublicIp": "ENABLED"}
    }
    in_fargate = {"networkConfiguration": {"assignPublicIp": "ENABLED"}, "containers": [{"name": "main", **NEEDS, **SIZE}]}
    managed = {"networkMode": "host", "containers": [{"name": "main", **NEEDS}]}
    nodes = {"numNodes": 2, "mainNode": 0}
    nodes["nodeRangeProperties"] = [{"targetNodes": "0:1", "container": container, "instanceTypes": ["x"]}]
    sleeper = submit("sleep 600")
    ids = [sleeper]
    for queue, platforms, properties in (
        ("local", ["EC2"], {"containerProperties": container}),
        ("local", ["EC2"], {"ecsProperties": {"taskProperties": [task]}}),
        ("local", ["EC2"], {"nodeProperties": nodes}),
        ("fargate", ["FARGATE"], {"containerProperties": serverless}),
        ("fargate", ["FARGATE"], {"ecsProperties": {"taskProperties": [in_fargate]}}),
        ("managed", ["MANAGED_INSTANCES"], {"ecsProperties": {"taskProperties": [managed]}}),
    ):
        name = fresh()
        kind = "multinode" if "nodeProperties" in properties else "container"
        done(DEFINITION, jobDefinitionName=name, type=kind, platformCapabilities=platforms, **properties)
        ids.append(submit(definition=name, queue=queue, dependsOn=[{"jobId": sleeper}]))
        (field, value), = properties.items()
        shown = jobs(ids[-1])[0]
        field = {"containerProperties": "container"}.get(field, field)
        assert not (gone := missing(value, shown[field])), (properties, gone)
    for id in reversed(ids):
        done("TerminateJob", jobId=id, reason="enough")
        ended(id)


# The fields that each of these looks at.
BY_HAND = {
    ends_of_jobs: {
        "CancelJob": {"jobId", "reason"},
        "CancelJobs": {"jobs", "reason"},
        "TerminateJob": {"jobId", "reason"},
        "TerminateJobs": {"jobs", "reason"},
    },
    ends_of_definitions: {
        "DeregisterJobDefinition": {"jobDefinition"},
        "DescribeJobDefinitions": {"jobDefinitionName", "jobDefinitions", "maxResults", "nextToken", "status"},
    },
    resources: {
        "DescribeJobQueues": {"jobQueues", "maxResults", "nextToken"},
        "DescribeComputeEnvironments": {"computeEnvironments", "maxResults", "nextToken"},
        "DescribeSchedulingPolicies": {"arns"},
        "ListSchedulingPolicies": {"maxResults", "nextToken"},
        "DeleteSchedulingPolicy": {"arn"},
        "DeleteJobQueue": {"jobQueue"},
        "DeleteComputeEnvironment": {"computeEnvironment"},
    },
    consumable_resources: {
        "UpdateConsumableResource": {"clientToken", "consumableResource", "operation", "quantity"},
        "DescribeConsumableResource": {"consumableResource"},
        "DeleteConsumableResource": {"consumableResource"},
        "ListConsumableResources": {"filters", "maxResults", "nextToken"},
        "ListJobsByConsumableResource": {"consumableResource", "filters", "maxResults", "nextToken"},
    },
    listings: {
        "DescribeJobs": {"jobs"},
        "ListJobs": {"jobQueue", "arrayJobId", "multiNodeJobId", "jobStatus", "maxResults", "nextToken", "filters"},
    },
    tags: {
        "TagResource": {"resourceArn", "tags"},
        "UntagResource": {"resourceArn", "tagKeys"},
        "ListTagsForResource": {"resourceArn"},
    },
    snapshots: {"GetJobQueueSnapshot": {"jobQueue"}},
    attempts: {},
    jobs_of_full_definitions: {},
}
# Fields of answers that never appear: the start of their paths, and the reason.
EKS = "there is no Kubernetes"
SERVICE_JOBS = "there are no service jobs"
NO_NETWORK = "no container has an elastic network interface"
NO_SECRETS = "SubmitJob refuses it: there is no Secrets Manager"
NO_VOLUME = "SubmitJob refuses it: there is no such file system"
OF_NODES = "it is refused for nodes"
JOB = "DescribeJobs.jobs[]"
SHOWN = "DescribeJobDefinitions.jobDefinitions[]"
NEVER = {
    f"{JOB}.attempts[].container.networkInterfaces": NO_NETWORK,
    f"{JOB}.attempts[].taskProperties[].containers[].networkInterfaces": NO_NETWORK,
    f"{JOB}.container.networkInterfaces": NO_NETWORK,
    f"{JOB}.ecsProperties.taskProperties[].containers[].networkInterfaces": NO_NETWORK,
    f"{JOB}.arrayProperties.statusSummaryLastUpdatedAt": "the summary is counted when it is asked for",
    "ListJobs.jobSummaryList[].arrayProperties.statusSummaryLastUpdatedAt": "the summary is counted when it is asked for",
    f"{JOB}.container.secrets": NO_SECRETS,
    f"{JOB}.ecsProperties.taskProperties[].containers[].secrets": NO_SECRETS,
    f"{JOB}.nodeProperties.nodeRangeProperties[].container.secrets": NO_SECRETS,
    f"{JOB}.container.volumes[].efsVolumeConfiguration": NO_VOLUME,
    f"{JOB}.container.volumes[].s3filesVolumeConfiguration": NO_VOLUME,
    f"{JOB}.ecsProperties.taskProperties[].volumes[].efsVolumeConfiguration": NO_VOLUME,
    f"{JOB}.ecsProperties.taskProperties[].volumes[].s3filesVolumeConfiguration": NO_VOLUME,
    f"{JOB}.nodeProperties.nodeRangeProperties[].container.volumes[].efsVolumeConfiguration": NO_VOLUME,
    f"{JOB}.nodeProperties.nodeRangeProperties[].container.volumes[].s3filesVolumeConfiguration": NO_VOLUME,
    f"{JOB}.ecsProperties.taskProperties[].containers[].firelensConfiguration": "SubmitJob refuses it",
    f"{JOB}.eksProperties": EKS,
    f"{JOB}.eksAttempts": EKS,
    f"{SHOWN}.eksProperties": EKS,
    f"{JOB}.nodeProperties.nodeRangeProperties[].eksProperties": EKS,
    f"{SHOWN}.nodeProperties.nodeRangeProperties[].eksProperties": EKS,
    "DescribeComputeEnvironments.computeEnvironments[].eksConfiguration": EKS,
    "DescribeJobQueues.jobQueues[].serviceEnvironmentOrder": SERVICE_JOBS,
    "DescribeSchedulingPolicies.schedulingPolicies[].quotaSharePolicy": SERVICE_JOBS,
    "GetJobQueueSnapshot.frontOfQuotaShares": SERVICE_JOBS,
    "GetJobQueueSnapshot.queueUtilization.quotaShareUtilization": SERVICE_JOBS,
} | {
    f"{of}.nodeProperties.nodeRangeProperties[].{field}": OF_NODES
    for of in (JOB, SHOWN)
    for field in (
        "ecsProperties",
        "consumableResourceProperties",
        "container.networkConfiguration",
        "container.fargatePlatformConfiguration",
    )
}


def is_done(operation):
    _, error = call(operation)
    return not error or error["Code"] != "UnknownOperationException"


def fields():
    """Each field of a request does what it says, and the fields of answers appear."""
    array = make_world()
    send_each_field(array)
    for look in BY_HAND:
        look()
    covered = {operation: members for of in BY_HAND.values() for operation, members in of.items()}
    operations = [name for name in model.operation_names if name in WRITES or name in covered or is_done(name)]
    for operation in operations:
        if operation not in WRITES:
            members = set(model.operation_model(operation).input_shape.members)
            assert members == covered.get(operation), (operation, members, "is not what is looked at here")
    unseen, unused = [], set(NEVER)
    for operation in operations:
        for leaf in leaves(model.operation_model(operation).output_shape, operation):
            starts = set(below(leaf, NEVER))
            if leaf in seen:
                assert not starts, f"{leaf} has appeared, though {starts} never does"
            elif not starts:
                unseen.append(leaf)
            unused -= starts
    assert not unseen, "never in an answer: " + " ".join(unseen)
    assert not unused, f"not in the model any more: {unused}"


if __name__ == "__main__":
    {"fields": fields}[sys.argv[1]]()

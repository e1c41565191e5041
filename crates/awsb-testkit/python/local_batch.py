"""Stories of the local cluster's Batch, told with boto3: `local_batch.py STORY`.

It is AWS's own client, which checks every answer against the service model: a field of the wrong type, or an
error that the model does not have, ends the story.
"""

import os
import sys
import tempfile

import boto3
from botocore.exceptions import ClientError

from waiting import once

batch = boto3.client("batch")
logs = boto3.client("logs")


def submit(name, script="true", queue="local", definition="local", **more):
    """Submits a job that runs a shell script; `more` goes to SubmitJob. Returns its ID."""
    if script is not None:
        more["containerOverrides"] = {"command": ["sh", "-c", script], **more.get("containerOverrides", {})}
    return batch.submit_job(jobName=name, jobQueue=queue, jobDefinition=definition, **more)["jobId"]


def job(id):
    return batch.describe_jobs(jobs=[id])["jobs"][0]


def status(id):
    return job(id)["status"]


def ended(id):
    return once(f"{id} ends", lambda: (j := job(id))["status"] in ("SUCCEEDED", "FAILED") and j)


def output(job):
    stream = job["container"]["logStreamName"]
    events = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)
    return [event["message"] for event in events["events"]]


def refused(call, *words, code="ClientException"):
    """The call is refused, in words that have these in them."""
    try:
        call()
    except ClientError as e:
        error = e.response["Error"]
        assert error["Code"] == code, error
        for word in words:
            assert word in error["Message"], (word, error)
        return
    raise AssertionError("accepted")


def dependencies():
    first = submit("first", "sleep 0.3")
    then = submit("then", "echo after", dependsOn=[{"jobId": first}])
    assert status(then) in ("PENDING", "SUBMITTED")
    assert job(then)["dependsOn"] == [{"jobId": first}]
    assert ended(then)["startedAt"] >= ended(first)["stoppedAt"]

    failing = submit("failing", "sleep 0.1; exit 3")
    victim = submit("victim", arrayProperties={"size": 3}, dependsOn=[{"jobId": failing}])
    last = submit("last", dependsOn=[{"jobId": victim}])
    assert ended(last)["status"] == "FAILED" and not job(last)["attempts"]
    assert "Dependent" in job(last)["statusReason"]
    assert job(victim)["arrayProperties"]["statusSummary"]["FAILED"] == 3
    # One that has ended already counts, too.
    assert ended(submit("late", dependsOn=[{"jobId": failing}]))["status"] == "FAILED"
    assert ended(submit("late", dependsOn=[{"jobId": then}, {"jobId": first}]))["status"] == "SUCCEEDED"

    refused(lambda: submit("x", dependsOn=[{"jobId": "no-such-job"}]), "no-such-job")
    refused(lambda: submit("x", dependsOn=[{"jobId": first, "type": "N_TO_N"}]))
    refused(lambda: submit("x", arrayProperties={"size": 2}, dependsOn=[{"jobId": victim, "type": "N_TO_N"}]))
    refused(lambda: submit("x", dependsOn=[{"jobId": first}] * 21), "20")


def dependencies_of_children():
    rows = submit("rows", "test $AWS_BATCH_JOB_ARRAY_INDEX != 1", arrayProperties={"size": 3})
    columns = submit("columns", arrayProperties={"size": 3}, dependsOn=[{"jobId": rows, "type": "N_TO_N"}])
    assert ended(columns)["status"] == "FAILED"
    assert [status(f"{columns}:{i}") for i in range(3)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert not job(f"{columns}:1")["attempts"]

    script = "echo $AWS_BATCH_JOB_ARRAY_INDEX; test $AWS_BATCH_JOB_ARRAY_INDEX != 3"
    steps = submit("steps", script, arrayProperties={"size": 6}, dependsOn=[{"type": "SEQUENTIAL"}])
    assert ended(steps)["status"] == "FAILED"
    children = [job(f"{steps}:{i}") for i in range(6)]
    assert [c["status"] for c in children] == ["SUCCEEDED"] * 3 + ["FAILED"] * 3
    for before, after in zip(children[:3], children[1:4]):
        assert after["startedAt"] >= before["stoppedAt"]
    assert [len(c["attempts"]) for c in children] == [1, 1, 1, 1, 0, 0]


def multi_node():
    node = {
        "image": "host",
        "vcpus": 1,
        "memory": 32,
        "environment": [{"name": "WHO", "value": "all"}],
        "command": ["sh", "-c", 'env | grep "^AWS_BATCH_JOB\\|^WHO" | sort; while [ ! -e "$GO" ]; do sleep 0.01; done']
    }
    properties = {
        "numNodes": 2,
        "mainNode": 0,
        "nodeRangeProperties": [{"targetNodes": "0:", "container": node}],
    }
    batch.register_job_definition(jobDefinitionName="mnp", type="multinode", nodeProperties=properties)
    go = os.path.join(tempfile.mkdtemp(), "go")
    overrides = {
        "nodePropertyOverrides": [
            {"targetNodes": "0:", "containerOverrides": {"environment": [{"name": "GO", "value": go}]}},
            {"targetNodes": "1:", "containerOverrides": {"environment": [{"name": "WHO", "value": "other"}]}},
        ]
    }
    id = submit("two", None, definition="mnp", nodeOverrides=overrides)
    once("both nodes run", lambda: [status(f"{id}#{i}") for i in range(2)] == ["RUNNING"] * 2)
    parent = job(id)
    assert parent["status"] == "RUNNING" and "container" not in parent
    assert parent["nodeProperties"]["numNodes"] == 2
    assert [r["targetNodes"] for r in parent["nodeProperties"]["nodeRangeProperties"]] == ["0:0", "1:1"]
    listed = batch.list_jobs(multiNodeJobId=id, jobStatus="RUNNING")["jobSummaryList"]
    assert [j["nodeProperties"] for j in listed] == [
        {"isMainNode": True, "numNodes": 2, "nodeIndex": 0},
        {"isMainNode": False, "numNodes": 2, "nodeIndex": 1},
    ]
    open(go, "w").close()
    assert ended(id)["status"] == "SUCCEEDED"
    main, other = job(f"{id}#0"), job(f"{id}#1")
    assert main["nodeDetails"] == {"nodeIndex": 0, "isMainNode": True}
    assert output(main) == [
        "AWS_BATCH_JOB_ATTEMPT=1",
        f"AWS_BATCH_JOB_ID={id}#0",
        "AWS_BATCH_JOB_MAIN_NODE_INDEX=0",
        "AWS_BATCH_JOB_NODE_INDEX=0",
        "AWS_BATCH_JOB_NUM_NODES=2",
        "WHO=all",
    ]
    assert "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS=127.0.0.1" in output(other)
    assert "WHO=other" in output(other) and "AWS_BATCH_JOB_NODE_INDEX=1" in output(other)

    # The end of the main node ends the job, with its outcome; attempts are counted by it.
    script = 'if [ "$AWS_BATCH_JOB_NODE_INDEX" = 0 ]; then sleep 0.2; exit 9; else exec sleep 1000; fi'
    overrides = {"nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": {"command": ["sh", "-c", script]}}]}
    id = submit("fails", None, definition="mnp", nodeOverrides=overrides, retryStrategy={"attempts": 2})
    parent = ended(id)
    assert parent["status"] == "FAILED"
    assert [a["container"]["exitCode"] for a in parent["attempts"]] == [9, 9]
    other = job(f"{id}#1")
    assert other["status"] == "FAILED" and other["container"]["exitCode"] == 143

    # A whole job is ended by its ID.
    id = submit("ended", None, definition="mnp", nodeOverrides={
        "nodePropertyOverrides": [{"targetNodes": "0:", "containerOverrides": {"command": ["sleep", "1000"]}}]})
    once("both nodes run", lambda: status(f"{id}#1") == "RUNNING")
    batch.terminate_job(jobId=id, reason="enough")
    assert ended(id)["statusReason"] == "enough"
    # More nodes than this machine has CPUs never start.
    id = submit("wide", None, definition="mnp", nodeOverrides={"numNodes": 900})
    once("it says why", lambda: "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in job(id).get("statusReason", ""))
    refused(lambda: submit("x", None, definition="mnp", arrayProperties={"size": 2}))
    refused(lambda: submit("x", "true", definition="mnp"))
    refused(lambda: submit("x", None, nodeOverrides={"numNodes": 2}))


def environment(name, vcpus):
    resources = {"type": "EC2", "maxvCpus": vcpus, "minvCpus": 0, "instanceTypes": ["optimal"], "subnets": ["subnet-0"]}
    batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources={**resources, "instanceRole": "role"}
    )


def queue(name, priority, *environments, **more):
    order = [{"order": n, "computeEnvironment": e} for n, e in enumerate(environments)]
    return batch.create_job_queue(jobQueueName=name, priority=priority, computeEnvironmentOrder=order, **more)


def queues():
    environment("narrow", 1)
    environment("spare", 1)
    queue("low", 1, "narrow")
    queue("high", 10, "narrow")
    assert {q["jobQueueName"] for q in batch.describe_job_queues()["jobQueues"]} == {"local", "low", "high"}
    pages = batch.get_paginator("describe_job_queues").paginate(PaginationConfig={"PageSize": 1})
    assert [q["jobQueueName"] for page in pages for q in page["jobQueues"]] == ["high", "local", "low"]
    assert batch.describe_job_queues(jobQueues=["low"])["jobQueues"][0]["priority"] == 1
    assert batch.describe_compute_environments(computeEnvironments=["nowhere"])["computeEnvironments"] == []

    # One vCPU: one after the other, the higher queue first, though it was asked last.
    blocker = submit("blocker", "sleep 0.5", "low")
    once("it runs", lambda: status(blocker) == "RUNNING")
    low = [submit(f"low{i}", "echo $AWS_BATCH_JQ_NAME $AWS_BATCH_CE_NAME", "low") for i in range(2)]
    high = submit("high", queue="high")
    arns = [j["jobArn"] for j in batch.get_job_queue_snapshot(jobQueue="low")["frontOfQueue"]["jobs"]]
    assert [arn.split("/")[-1] for arn in arns] == low
    assert ended(low[1])["startedAt"] >= ended(low[0])["stoppedAt"] >= ended(high)["stoppedAt"]
    assert job(high)["startedAt"] >= ended(blocker)["stoppedAt"]
    assert output(job(low[0])) == ["low narrow"]
    assert job(low[0])["jobQueue"].endswith("job-queue/low")
    assert [j["jobId"] for j in batch.list_jobs(jobQueue="high", jobStatus="SUCCEEDED")["jobSummaryList"]] == [high]
    wide = submit("wide", queue="low", containerOverrides={"vcpus": 2})
    once("it says why", lambda: "MISCONFIGURATION" in job(wide).get("statusReason", ""))

    # A larger environment makes room for it.
    batch.update_compute_environment(computeEnvironment="narrow", computeResources={"maxvCpus": 2})
    assert ended(wide)["status"] == "SUCCEEDED"
    # A disabled environment starts nothing, a disabled queue takes nothing.
    batch.update_compute_environment(computeEnvironment="narrow", state="DISABLED")
    waiting = submit("waiting", queue="low")
    running = submit("elsewhere")
    assert ended(running) and status(waiting) == "RUNNABLE"
    refused(lambda: batch.delete_job_queue(jobQueue="low"), "DISABLED")
    refused(lambda: batch.delete_compute_environment(computeEnvironment="narrow"), "JobQueue")
    batch.update_job_queue(jobQueue="low", state="DISABLED")
    refused(lambda: submit("late", queue="low"), "DISABLED")
    batch.delete_job_queue(jobQueue="low")
    assert ended(waiting)["status"] == "FAILED"
    refused(lambda: submit("late", queue="low"), "low")
    batch.update_job_queue(jobQueue="high", computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "spare"}])
    batch.delete_compute_environment(computeEnvironment="narrow")
    assert ended(submit("moved", queue="high"))["status"] == "SUCCEEDED"

    refused(lambda: queue("high", 1, "spare"), "exists")
    refused(lambda: queue("a b", 1, "spare"))
    refused(lambda: queue("new", 1, "nowhere"), "nowhere")
    refused(lambda: queue("new", -1, "spare"), "priority")
    refused(lambda: queue("new", 2**31, "spare"), "priority must be an integer")
    order = [{"order": 2**31, "computeEnvironment": "spare"}]
    refused(
        lambda: batch.create_job_queue(jobQueueName="new", priority=1, computeEnvironmentOrder=order),
        "computeEnvironmentOrder[0].order must be an integer",
    )
    refused(lambda: queue("new", 1, "spare", state="enabled"), 'state must be ENABLED or DISABLED, not "enabled"')
    refused(lambda: environment("spare", 1), "exists")
    refused(lambda: batch.update_job_queue(jobQueue="local", state="DISABLED"), "built in")
    refused(lambda: batch.update_job_queue(jobQueue="nowhere", priority=2), "nowhere")
    refused(lambda: batch.get_job_queue_snapshot(jobQueue="nowhere"), "nowhere")
    refused(lambda: batch.list_jobs(jobQueue="nowhere"), "nowhere")


def shares():
    environment("narrow", 1)
    distribution = [{"shareIdentifier": "big", "weightFactor": 0.5}, {"shareIdentifier": "small"}]
    policy = batch.create_scheduling_policy(
        name="fair", fairsharePolicy={"shareDecaySeconds": 3600, "shareDistribution": distribution}
    )["arn"]
    assert batch.list_scheduling_policies()["schedulingPolicies"] == [{"arn": policy}]
    shown = batch.describe_scheduling_policies(arns=[policy])["schedulingPolicies"][0]
    assert shown["fairsharePolicy"]["shareDistribution"] == distribution
    queue("fair", 1, "narrow", schedulingPolicyArn=policy)
    refused(lambda: submit("none", queue="fair"), "shareIdentifier")
    refused(lambda: submit("stray", shareIdentifier="big"), "shareIdentifier")
    blocker = submit("blocker", "sleep 0.5", "fair", shareIdentifier="small")
    once("it runs", lambda: status(blocker) == "RUNNING")
    small = submit("small", queue="fair", shareIdentifier="small")
    late = submit("late", queue="fair", shareIdentifier="big")
    first = submit("first", queue="fair", shareIdentifier="big", schedulingPriorityOverride=9)
    assert ended(small)["startedAt"] >= ended(late)["startedAt"] >= ended(first)["stoppedAt"]
    assert job(first)["shareIdentifier"] == "big" and job(first)["schedulingPriority"] == 9
    filter = [{"name": "SHARE_IDENTIFIER", "values": ["small"]}]
    listed = batch.list_jobs(jobQueue="fair", filters=filter)["jobSummaryList"]
    assert {j["jobId"] for j in listed} == {small, blocker}
    refused(lambda: batch.delete_scheduling_policy(arn=policy), "fair")
    refused(lambda: batch.create_scheduling_policy(name="fair"), "exists")
    refused(lambda: batch.create_scheduling_policy(name="bad", fairsharePolicy={"computeReservation": 100}))
    batch.update_scheduling_policy(arn=policy, fairsharePolicy={"shareDecaySeconds": 0})
    batch.update_job_queue(jobQueue="fair", state="DISABLED")
    batch.delete_job_queue(jobQueue="fair")
    batch.delete_scheduling_policy(arn=policy)
    assert batch.list_scheduling_policies()["schedulingPolicies"] == []


def resource(name):
    """Total, in use and available."""
    answer = batch.describe_consumable_resource(consumableResource=name)
    return answer["totalQuantity"], answer["inUseQuantity"], answer["availableQuantity"]


def consumes(**quantities):
    return {"consumableResourceList": [{"consumableResource": name, "quantity": n} for name, n in quantities.items()]}


def consumable_resources():
    made = batch.create_consumable_resource(
        consumableResourceName="lic", totalQuantity=1, resourceType="REPLENISHABLE", tags={"a": "b"}
    )
    arn = made["consumableResourceArn"]
    assert arn.endswith(":consumable-resource/lic") and resource("lic") == resource(arn) == (1, 0, 1)
    create = batch.create_consumable_resource
    refused(lambda: create(consumableResourceName="lic", totalQuantity=1), "already exists")
    refused(lambda: create(consumableResourceName="a b", totalQuantity=1), "a b")
    refused(lambda: create(consumableResourceName="b", totalQuantity=-1), "negative")
    refused(lambda: create(consumableResourceName="b", resourceType="ONCE"), "REPLENISHABLE")
    refused(lambda: batch.describe_consumable_resource(consumableResource="nobody"), "nobody")
    assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b"}

    # Two jobs that need one licence, and one behind them that needs none.
    override = dict(consumableResourcePropertiesOverride=consumes(lic=1))
    first = submit("first", "sleep 600", **override)
    once("it runs", lambda: status(first) == "RUNNING")
    second = submit("second", **override)
    behind = submit("behind")
    needs = job(second)["consumableResourceProperties"]["consumableResourceList"]
    assert needs == [{"consumableResource": arn, "quantity": 1}]
    assert resource("lic") == (1, 1, 0) and status(second) == status(behind) == "RUNNABLE"
    pages = batch.get_paginator("list_jobs_by_consumable_resource")
    jobs = [j for page in pages.paginate(consumableResource="lic", maxResults=1) for j in page["jobs"]]
    assert [(j["jobName"], j["jobStatus"], j["quantity"]) for j in jobs] == [
        ("second", "RUNNABLE", 1), ("first", "RUNNING", 1)]
    assert jobs[0]["consumableResourceProperties"] == job(second)["consumableResourceProperties"]
    by = lambda **f: [j["jobName"] for j in batch.list_jobs_by_consumable_resource(
        consumableResource=arn, filters=[{"name": n, "values": v} for n, v in f.items()])["jobs"]]
    assert by(JOB_STATUS=["RUNNING"]) == by(JOB_NAME=["F*"]) == ["first"]
    refused(lambda: by(JOB_STATUS=["PERHAPS"]), "PERHAPS")
    batch.terminate_job(jobId=first, reason="enough")
    assert ended(second)["status"] == ended(behind)["status"] == "SUCCEEDED"
    assert resource("lic") == (1, 0, 1)

    # A job definition has a list, which an override replaces. Each child and each node takes the
    # quantity.
    batch.register_job_definition(
        jobDefinitionName="licensed", type="container", consumableResourceProperties=consumes(lic=1),
        containerProperties={"image": "host", "command": ["true"], "resourceRequirements": [
            {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]},
    )
    array = submit("array", "sleep 0.05", definition="licensed", arrayProperties={"size": 4})
    assert ended(array)["status"] == "SUCCEEDED"
    children = sorted((job(f"{array}:{i}") for i in range(4)), key=lambda child: child["startedAt"])
    assert all(a["stoppedAt"] <= b["startedAt"] for a, b in zip(children, children[1:]))
    free = submit("free", definition="licensed", consumableResourcePropertiesOverride={"consumableResourceList": []})
    assert "consumableResourceProperties" not in ended(free)

    # What is not replenishable is gone.
    create(consumableResourceName="token", totalQuantity=3, resourceType="NON_REPLENISHABLE")
    override = dict(consumableResourcePropertiesOverride=consumes(token=2))
    assert ended(submit("token", **override))["status"] == "SUCCEEDED" and resource("token") == (1, 0, 1)
    waits = submit("waits", **override)
    update = batch.update_consumable_resource
    assert update(consumableResource="token", operation="ADD", quantity=1, clientToken="t")["totalQuantity"] == 2
    assert ended(waits)["status"] == "SUCCEEDED" and resource("token") == (0, 0, 0)
    update(consumableResource="token", operation="ADD", quantity=1, clientToken="t")
    assert resource("token") == (0, 0, 0), "the same update"
    assert update(consumableResource="token", operation="SET", quantity=9)["totalQuantity"] == 9
    assert update(consumableResource="token", operation="REMOVE", quantity=4)["totalQuantity"] == 5
    refused(lambda: update(consumableResource="token", operation="REMOVE", quantity=6), "5")
    refused(lambda: update(consumableResource="token", operation="HALVE", quantity=1), 'not "HALVE"')
    refused(lambda: update(consumableResource="token", quantity=1), "SET, ADD or REMOVE")

    pages = batch.get_paginator("list_consumable_resources")
    listed = [r for page in pages.paginate(maxResults=1) for r in page["consumableResources"]]
    assert [(r["consumableResourceName"], r["totalQuantity"], r["resourceType"]) for r in listed] == [
        ("lic", 1, "REPLENISHABLE"), ("token", 5, "NON_REPLENISHABLE")]
    named = batch.list_consumable_resources(filters=[{"name": "CONSUMABLE_RESOURCE_NAME", "values": ["T*"]}])
    assert [r["consumableResourceName"] for r in named["consumableResources"]] == ["token"]

    # One that is deleted is not available until it is there again.
    override = dict(consumableResourcePropertiesOverride=consumes(lic=1))
    holder = submit("holder", "sleep 600", **override)
    once("it runs", lambda: status(holder) == "RUNNING")
    waits = submit("waits", **override)
    batch.delete_consumable_resource(consumableResource=arn)
    refused(lambda: batch.delete_consumable_resource(consumableResource="lic"), "lic")
    batch.terminate_job(jobId=holder, reason="enough")
    assert ended(holder)["statusReason"] == "enough" and status(waits) == "RUNNABLE"
    create(consumableResourceName="lic", totalQuantity=1)
    assert ended(waits)["status"] == "SUCCEEDED"

    refused(lambda: submit("none", consumableResourcePropertiesOverride=consumes(nobody=1)), "nobody")
    foreign = arn.replace("us-east-1", "eu-north-1")
    refused(lambda: submit("foreign", consumableResourcePropertiesOverride=consumes(**{foreign: 1})), foreign)
    refused(lambda: batch.describe_consumable_resource(consumableResource=foreign), foreign)
    refused(lambda: submit("zero", consumableResourcePropertiesOverride=consumes(lic=0)), "at least 1")
    six = consumes(**{f"r{i}": 1 for i in range(6)})
    refused(lambda: submit("six", consumableResourcePropertiesOverride=six), "at most 5")


def tags():
    environment("tagged", 1)
    queue("tagged", 1, "tagged", tags={"a": "1"})
    id = submit("tagged", tags={"a": "1"})
    container = {"image": "host", "vcpus": 1, "memory": 32, "command": ["true"]}
    definition = batch.register_job_definition(
        jobDefinitionName="tagged", type="container", containerProperties=container, tags={"a": "1"}
    )["jobDefinitionArn"]
    policy = batch.create_scheduling_policy(name="tagged", tags={"a": "1"})["arn"]
    arns = [
        batch.describe_job_queues(jobQueues=["tagged"])["jobQueues"][0]["jobQueueArn"],
        job(id)["jobArn"],
        definition,
        policy,
    ]
    for arn in arns:
        batch.tag_resource(resourceArn=arn, tags={"b c": "2/ü", "d": ""})
        assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1", "b c": "2/ü", "d": ""}, arn
        batch.untag_resource(resourceArn=arn, tagKeys=["a", "b c"])
        assert batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"d": ""}, arn
    assert job(id)["tags"] == {"d": ""}
    refused(lambda: batch.tag_resource(resourceArn=arns[0], tags={f"k{i}": "" for i in range(51)}))
    refused(lambda: batch.tag_resource(resourceArn=arns[0], tags={"aws:x": ""}))
    refused(lambda: batch.list_tags_for_resource(resourceArn=arns[0] + "x"), "not found")


def definitions():
    container = {"image": "host", "vcpus": 1, "memory": 32, "command": ["echo", "Ref::what"]}
    for what in ("a", "b", "c"):
        batch.register_job_definition(
            jobDefinitionName="many", type="container", containerProperties=container, parameters={"what": what}
        )
    pages = batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName="many", PaginationConfig={"PageSize": 2}
    )
    assert [d["revision"] for page in pages for d in page["jobDefinitions"]] == [1, 2, 3]
    batch.deregister_job_definition(jobDefinition="many:3")
    active = batch.describe_job_definitions(jobDefinitionName="many", status="ACTIVE")["jobDefinitions"]
    assert [d["revision"] for d in active] == [1, 2]
    assert output(ended(submit("latest", None, definition="many"))) == ["b"]
    assert output(ended(submit("exact", None, definition="many:1"))) == ["a"]
    assert output(ended(submit("given", None, definition="many", parameters={"what": "x y"}))) == ["x y"]
    refused(lambda: submit("gone", None, definition="many:3"), "many:3")
    foreign = active[0]["jobDefinitionArn"].replace("us-east-1", "eu-north-1")
    refused(lambda: submit("foreign", None, definition=foreign), "eu-north-1")
    # A task's containers are overridden once each.
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "32"}]
    a = {"name": "a", "image": "host", "command": ["true"], "resourceRequirements": needs}
    task = lambda *containers: {"taskProperties": [{"containers": list(containers)}]}
    batch.register_job_definition(jobDefinitionName="task", type="container", ecsProperties=task(a))
    refused(
        lambda: submit("twice", None, definition="task", ecsPropertiesOverride=task({"name": "a"}, {"name": "a"})),
        '"a" is there twice',
    )
    # Properties that the API does not take, and those that a process of this machine cannot have.
    def register(image="busybox", **more):
        properties = {"image": image, "resourceRequirements": needs, **more}
        return batch.register_job_definition(jobDefinitionName="odd", type="container", containerProperties=properties)
    for options in (["ro,size=9g"], ["size=9g"], ["x"]):
        tmpfs = [{"containerPath": "/t", "size": 64, "mountOptions": options}]
        refused(lambda: register(linuxParameters={"tmpfs": tmpfs}), "mount options")
    # An integer of the API has 32 bits: no client could read a greater one in an answer.
    most = 2**31 - 1
    for member, more in (
        ("linuxParameters.sharedMemorySize", {"linuxParameters": {"sharedMemorySize": most + 1}}),
        ("linuxParameters.maxSwap", {"linuxParameters": {"maxSwap": most + 1}}),
        ("linuxParameters.tmpfs[0].size", {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": most + 1}]}}),
        ("ulimits[0].hardLimit", {"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": most + 1}]}),
    ):
        refused(lambda: register(**more), f"containerProperties.{member} must be an integer", f"not {most + 1}")
    register(linuxParameters={"sharedMemorySize": most, "maxSwap": most})
    for platforms in (["X"], ["EC2", "X"]):
        refused(
            lambda: batch.register_job_definition(
                jobDefinitionName="odd",
                type="container",
                platformCapabilities=platforms,
                containerProperties={"image": "busybox", "resourceRequirements": needs},
            ),
            "platformCapabilities",
            '"X"',
        )
    timeout = {"attemptDurationSeconds": most + 1}
    refused(lambda: submit("late", timeout=timeout), "timeout.attemptDurationSeconds must be an integer")
    for more in (
        {"privileged": True},
        {"readonlyRootFilesystem": True},
        {"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}},
        {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 64}]}},
    ):
        register("host", **more)
        refused(lambda: submit("odd", None, definition="odd"), "process of this machine")
    named = batch.describe_job_definitions(jobDefinitions=["many:1", "many:3"])["jobDefinitions"]
    assert [(d["revision"], d["status"]) for d in named] == [(1, "ACTIVE"), (3, "INACTIVE")]
    filter = [{"name": "JOB_DEFINITION", "values": ["man*"]}]
    listed = batch.list_jobs(jobQueue="local", filters=filter)["jobSummaryList"]
    assert [j["jobName"] for j in listed] == ["given", "exact", "latest"]
    refused(lambda: batch.list_jobs(jobQueue="local", filters=filter * 2), "one filter")


def limits():
    ulimits = [{"name": "nofile", "softLimit": 77, "hardLimit": 99}, {"name": "core", "softLimit": 0, "hardLimit": 0}]
    container = {"image": "host", "vcpus": 1, "memory": 32, "command": ["sh", "-c", "ulimit -Sn; ulimit -Sc"]}
    batch.register_job_definition(
        jobDefinitionName="limited", type="container", containerProperties={**container, "ulimits": ulimits}
    )
    assert output(ended(submit("limited", None, definition="limited"))) == ["77", "0"]
    # The next job of the same runner has them not.
    assert output(ended(submit("unlimited", "ulimit -Sn"))) != ["77"]


def fargate():
    resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-0"], "securityGroupIds": ["sg-0"]}
    batch.create_compute_environment(computeEnvironmentName="serverless", type="MANAGED", computeResources=resources)
    queue("serverless", 1, "serverless")
    def register(name, vcpus, memory):
        requirements = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]
        batch.register_job_definition(
            jobDefinitionName=name, type="container", platformCapabilities=["FARGATE"],
            containerProperties={"image": "host", "command": ["true"], "resourceRequirements": requirements},
        )
    register("small", "0.25", "512")
    register("large", "32", "249856")
    refused(lambda: register("odd", "0.25", "4096"), "0.5 vCPU and 4096 MiB")
    refused(lambda: register("odd", "3", "8192"), "not valid")
    resources = lambda *pairs: {"resourceRequirements": [{"type": t, "value": v} for t, v in pairs]}
    id = submit("quarter", None, "serverless", definition="small")
    assert ended(id)["status"] == "SUCCEEDED"
    shown = {r["type"]: r["value"] for r in job(id)["container"]["resourceRequirements"]}
    assert shown == {"VCPU": "0.25", "MEMORY": "512"}
    row = batch.list_jobs(jobQueue="serverless", jobStatus="SUCCEEDED")["jobSummaryList"][0]
    assert row["capacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 0.25}]
    half = resources(("VCPU", "0.5"), ("MEMORY", "1024"))
    id = submit("half", None, "serverless", definition="small", containerOverrides=half)
    assert ended(id)["status"] == "SUCCEEDED"
    one = resources(("VCPU", "1"))
    refused(lambda: submit("odd", None, "serverless", definition="small", containerOverrides=one), "not valid")
    # EC2 has no parts of a vCPU, whatever the job asks for.
    refused(lambda: submit("odd", "true", containerOverrides=resources(("VCPU", "0.5"))), "FARGATE")


def listings():
    go = os.path.join(tempfile.mkdtemp(), "go")
    wait = f'trap "" TERM; echo ready; until [ -e {go} ]; do sleep 0.01; done'
    id = submit("wide", wait, containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]})
    once("it runs", lambda: status(id) == "RUNNING" and output(job(id)) == ["ready"])
    listed = lambda state: batch.list_jobs(jobQueue="local", jobStatus=state)["jobSummaryList"][0]
    row = listed("RUNNING")
    assert row["capacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 2.0}]
    assert row["createdAt"] <= row["scheduledAt"] <= row["startedAt"]
    # "This field is only present when the value is true."
    assert "isTerminated" not in row and "isCancelled" not in row
    used = batch.get_job_queue_snapshot(jobQueue="local")["queueUtilization"]
    assert used["totalCapacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 2.0}]
    assert "fairshareUtilization" not in used
    # It was asked to end, and still runs.
    batch.terminate_jobs(jobs=[id], reason="enough")
    row = listed("RUNNING")
    assert row["isTerminated"] and "isCancelled" not in row and job(id)["isTerminated"]
    open(go, "w").close()
    assert ended(id)["isTerminated"]
    used = batch.get_job_queue_snapshot(jobQueue="local")["queueUtilization"]
    assert used["totalCapacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 0.0}]
    array = submit("many", "true", arrayProperties={"size": 2})
    ended(array)
    assert "capacityUsage" not in listed("SUCCEEDED")
    assert batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"][0]["capacityUsage"]


def bulk_ends():
    array = submit("many", "sleep 1000", arrayProperties={"size": 60})
    once("a child runs", lambda: status(f"{array}:0") == "RUNNING")
    unknown = "8f2c0d3e-1111-4222-8333-444455556666"
    first = [f"{array}:{i}" for i in range(48)]
    answer = batch.terminate_jobs(jobs=[*first, unknown, "no job!"], reason="all of you")
    # "Jobs that can't be found are treated as successfully processed."
    assert sorted(answer["successful"]) == sorted([*first, unknown])
    assert [(e["job"], e["code"]) for e in answer["errors"]] == [("no job!", "ValidationException")]
    assert {ended(id)["statusReason"] for id in first[:2]} == {"all of you"}
    # CancelJobs does nothing to a job that runs, and says so of none.
    once("another child runs", lambda: status(f"{array}:48") == "RUNNING")
    rest = [f"{array}:{i}" for i in range(48, 60)]
    answer = batch.cancel_jobs(jobs=rest, reason="not needed")
    assert (sorted(answer["successful"]), answer["errors"]) == (sorted(rest), [])
    assert ended(rest[-1])["statusReason"] == "not needed"
    assert status(f"{array}:48") == "RUNNING"
    batch.terminate_jobs(jobs=[array, array], reason="end")
    assert ended(array)["status"] == "FAILED"
    refused(lambda: batch.terminate_jobs(jobs=[unknown] * 51, reason="x"), "50")
    assert batch.terminate_jobs(jobs=[], reason="x") ["successful"] == []


def retries():
    rules = [
        {"onExitCode": "7", "action": "RETRY"},
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "onExitCode": "*", "action": "EXIT"},
    ]
    strategy = {"attempts": 5, "evaluateOnExit": rules}
    script = 'case $AWS_BATCH_JOB_ATTEMPT in 1 | 2) exit 7 ;; *) exit 8 ;; esac'
    job = ended(submit("rules", script, retryStrategy=strategy))
    assert [a["container"]["exitCode"] for a in job["attempts"]] == [7, 7, 8]
    assert len({a["container"]["logStreamName"] for a in job["attempts"]}) == 3
    # No rule matches: the attempt is repeated.
    strategy = {"attempts": 3, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}
    job = ended(submit("no-match", "exit 2", retryStrategy=strategy))
    assert [a["container"]["exitCode"] for a in job["attempts"]] == [2, 2, 2]
    # Overrides that ECS would not take: SubmitJob does, and the job fails.
    long = [{"name": f"N{i}", "value": "x" * 1000} for i in range(9)]
    job = ended(submit("long", containerOverrides={"environment": long}))
    assert job["statusReason"] == "Container Overrides length must be at most 8192" and not job["attempts"]


if __name__ == "__main__":
    globals()[sys.argv[1]]()

"""A moto server with Batch clusters in it, for the tests and for benches/compare.sh.

    python moto_cluster.py FOLDER (--image NAME | --no-docker)

Starts moto (https://docs.getmoto.org) on a free port of 127.0.0.1 and prints `{"endpoint": ...}` once it answers. Each
line on stdin then names a cluster to make; its parts come back as one line of JSON. When stdin closes, everything that
was started is gone, FOLDER too: a test that panics or is killed leaves no server and no container behind. FOLDER holds
`requests.jsonl`, moto's own recording of every request that arrived, and `moto.log`.

What moto's Batch (5.2.5, moto/batch/models.py) does, and does not do, with a job:

* A job is a thread, which runs `command` in a container on the engine that DOCKER_HOST names (without it, Docker's
  usual socket). The image must be there already; `docker run` would pull a missing one.
* The container gets the merged environment, AWS_BATCH_JOB_ID and MOTO_HTTP_ENDPOINT (http://host.docker.internal:PORT:
  the bridge's address, at which a server on 127.0.0.1 does not answer; nothing here needs it). It gets none of Batch's
  other variables, in particular no AWS_BATCH_JOB_ARRAY_INDEX: an array's children cannot be told apart.
* No limit on memory or CPU; `resourceRequirements` of the overrides and `retryStrategy` are accepted and ignored, and
  DescribeJobs does not return them. What a request really said is in requests.jsonl.
* Log lines reach CloudWatch Logs when the container has ended, all at once, white space at both ends removed. Only
  then does DescribeJobs name the stream, `DEFINITION/default/JOB_ID`. moto asks Docker for the lines *since* the
  job's start and reckons that in local time: east of Greenwich every line is lost, so the server runs with TZ=UTC.
* The lines' timestamps have fractions of a millisecond, where the API's model has integers and strict clients (AWS's SDK
  for Rust) refuse the whole page.
* DescribeJobs never returns an exit code (its `container` overwrites the one that has it); ListJobs does.
* A job's name has two characters or more, a compute environment's three (AWS: one).
* TerminateJob kills the container at once (SIGKILL). For a job that is not there it succeeds.
* The parent of an array becomes SUCCEEDED when it is described after all children succeeded; when one FAILED, it stays
  as it is for ever. Children are listed with their queue as if they were jobs of their own.
* Each DescribeJobs appends AWS_BATCH_JOB_ID to the environment it returns, once more every time.
* With --no-docker (moto's `{"batch": {"use_docker": false}}`) a job is SUCCEEDED as soon as it is submitted.
"""

import argparse
import json
import os
import shutil
import sys
import time
import types
from pathlib import Path

# Before anything reads the clock; see above.
os.environ["TZ"] = "UTC"
time.tzset()

# Nobody's own settings (a profile that is not there would be an error).
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

ACCOUNT = "123456789012"
REGION = "eu-west-1"


def clients(endpoint):
    import boto3

    session = boto3.Session(aws_access_key_id="moto", aws_secret_access_key="moto", region_name=REGION)
    return lambda service: session.client(service, endpoint_url=endpoint)


def make_cluster(client, name, image):
    """What a Batch cluster is made of, from the network up; returns the names that a settings file needs."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/20")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]

    iam = client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)

    batch = client("batch")
    environment = batch.create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources={
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": 16,
            "desiredvCpus": 0,
            "instanceTypes": ["optimal"],
            "subnets": [subnet],
            "securityGroupIds": [group],
            "instanceRole": role.replace(":role/", ":instance-profile/"),
        },
    )["computeEnvironmentArn"]
    queue = batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )["jobQueueArn"]
    definition = batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": image,
            "command": ["true"],
            "environment": [{"name": "FROM_THE_DEFINITION", "value": "yes"}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
        },
    )["jobDefinitionArn"]
    # Bucket names are shared by everybody, and a test that is run twice on one server needs two.
    bucket = f"awsb-test-{name}"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return {
        "name": name,
        "region": REGION,
        "compute_environment": environment,
        "job_queue": queue,
        "job_definition": definition,
        "bucket": bucket,
    }


def stop_jobs():
    """Ends what still runs and removes its containers; moto's own threads would live until their jobs end."""
    from moto.batch.models import batch_backends

    names = set()
    for regions in list(batch_backends.values()):
        for backend in list(regions.values()):
            for job in list(backend._jobs.values()):
                job.stop = True
                if not job.job_stopped:
                    names.add(f"{job.job_name}-{job.job_id.replace(':', '-')}")
    if not names:
        return
    import docker

    engine = docker.from_env()
    for container in engine.containers.list(all=True):
        if container.name in names:
            try:
                container.remove(force=True)
            except docker.errors.APIError:
                pass  # its own thread was faster


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-docker", action="store_true")
    parser.add_argument("--no-recording", action="store_true", help="for measuring: it costs the server time")
    parser.add_argument("--image", default="none", help="the image that the job definitions name")
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    # moto prints warnings to stdout; that is for our answers alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    log = os.open(arguments.folder / "moto.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    if not arguments.no_recording:
        os.environ["MOTO_RECORDER_FILEPATH"] = str(arguments.folder / "requests.jsonl")
        os.environ["MOTO_ENABLE_RECORDING"] = "true"

    # moto loads its API Gateway with CloudFormation, which checks APIs with this package
    # (one of 20 that it brings). No template of a cluster has one.
    for name in ["", ".validation", ".validation.exceptions"]:
        module = types.ModuleType(f"openapi_spec_validator{name}")
        module.__path__ = []
        module.validate_spec = module.validate = module.OpenAPIValidationError = Exception
        sys.modules[module.__name__] = module

    # Imported late: moto reads its environment variables when it is imported.
    from moto.core.config import default_user_config
    from moto.server import ThreadedMotoServer

    if arguments.no_docker:
        default_user_config["batch"] = {"use_docker": False}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["MOTO_PORT"] = str(port)
    endpoint = f"http://{host}:{port}"
    print(json.dumps({"endpoint": endpoint}), file=answers, flush=True)

    client = clients(endpoint)
    for line in sys.stdin:
        print(json.dumps(make_cluster(client, line.strip(), arguments.image)), file=answers, flush=True)

    try:
        if not arguments.no_docker:
            stop_jobs()
        shutil.rmtree(arguments.folder)
    finally:
        # Not sys.exit: it would wait for the threads of jobs and of open connections.
        os._exit(0)


if __name__ == "__main__":
    main()
